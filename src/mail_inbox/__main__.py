import sys

from src.mail_inbox import main

if __name__ == "__main__":
    sys.exit(main())
