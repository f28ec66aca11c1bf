"""How often in a row the service went down while it worked on a movie."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column("movies", sa.Column("interruptions", sa.Integer(), nullable=False, server_default="0"))
