from fastapi import APIRouter

router = APIRouter(prefix="/provider-types", tags=["provider types"])
