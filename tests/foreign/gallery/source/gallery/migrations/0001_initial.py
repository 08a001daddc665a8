from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True
    dependencies = ()
    operations = (
        migrations.CreateModel(
            name="Picture",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False)),
                ("file", models.FileField(upload_to="")),
                ("digest", models.CharField(default="", max_length=64)),
            ],
        ),
    )
