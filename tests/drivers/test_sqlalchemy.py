"""SQLAlchemy, its pools of connections, against PostgreSQL."""

from __future__ import annotations

import pytest

pytest.importorskip("sqlalchemy", reason="SQLAlchemy is not installed")


@pytest.fixture(params=["psycopg", "psycopg2"])
def engine(request, postgres_server):
    """What to create an engine with."""
    pytest.importorskip(request.param, reason=f"{request.param} is not installed")
    return {
        "url": f"postgresql+{request.param}://",
        "connect_args": {**postgres_server},
    }


def test_queries(engine, run_patched):
    code = """
from sqlalchemy import create_engine, text
engine = create_engine(**given.engine, pool_size=50)
def query(number):
    with engine.connect() as connection:
        statement = text("select cast(:number as integer) from pg_sleep(0.4)")
        return connection.scalar(statement, {"number": number})
assert overlap(query) == [*range(50)]
"""
    run_patched(code, engine=engine)


def test_200_green_threads_share_a_pool(engine, run_patched):
    code = """
from sqlalchemy import Integer, create_engine, func, select
from sqlalchemy.orm import DeclarativeBase, Session, mapped_column

class Base(DeclarativeBase):
    pass

class Entry(Base):
    __tablename__ = given.table
    id = mapped_column(Integer, primary_key=True)
    number = mapped_column(Integer)

engine = create_engine(**given.engine, pool_size=10, max_overflow=5, pool_timeout=40)
Base.metadata.create_all(engine)
most = 0
def work(number):
    global most
    for turn in range(3):
        with Session(engine) as session:
            session.add(Entry(number=number))
            session.flush()
            most = max(most, engine.pool.checkedout())
            if turn == 2:
                session.rollback()
            else:
                session.commit()
pool = eventlet.GreenPool(200)
assert len([*pool.imap(work, range(200))]) == 200
assert 1 < most <= 15, most
assert engine.pool.checkedout() == 0
with Session(engine) as session:
    assert session.scalar(select(func.count(Entry.id))) == 400
    assert session.scalar(select(func.count(Entry.number.distinct()))) == 200
engine.dispose()
"""
    run_patched(code, engine=engine, table=engine["url"].partition("+")[2].strip(":/") + "_entry")
