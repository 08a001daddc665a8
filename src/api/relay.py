from fastapi import APIRouter

# For the callback server alone: no part of the documented API.
router = APIRouter(prefix="/internal/oauth", include_in_schema=False)
