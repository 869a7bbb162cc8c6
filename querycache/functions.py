"""Which SQL functions a cached query may call.

A function is *pure* here when it neither reads tables nor changes from call to call. Names that
every database and Django itself give the same meaning are known below; others are looked up in the
database's own catalogue, once per name and database.
"""

from __future__ import annotations

import enum
import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from querycache.questions import question

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

logger = logging.getLogger("querycache.functions")

Answer = TypeVar("Answer")


class Purity(enum.Enum):
    """What calling a function can mean for a query."""

    PURE = "pure"
    VOLATILE = "changes from call to call, or reads what no stamp covers"
    WRITES = "may write tables"


#: Aggregates, windows and scalars with one meaning wherever they are built in, and what Django's
#: SQL is made of. Where one is not, somebody may have made a function of that name.
PURE = frozenset(
    """
    abs acos adddate addtime any any_value array array_agg array_append array_cat array_length
    array_position array_prepend array_remove array_to_string ascii asin atan atan2 avg bit_and
    bit_length bit_or bit_xor bool_and bool_or btrim cardinality cast ceil ceiling char
    char_length character_length chr coalesce collate concat concat_ws convert convert_tz corr
    cos cot count covar_pop covar_samp cume_dist date_add date_format date_part date_sub
    date_trunc dateadd datediff daterange day dayofmonth dayofweek dayofyear decode degrees
    dense_rank div django_date_extract django_date_trunc django_datetime_cast_date
    django_datetime_cast_time django_datetime_extract django_datetime_trunc
    django_format_dtdelta django_power django_time_diff django_time_extract django_time_trunc
    django_timestamp_diff encode every exp extract first_value floor format generate_series glob
    greatest group_concat grouping hex hour if ifnull iif initcap instr int4range int8range
    interval isempty json json_agg json_array json_array_length json_arrayagg json_build_array
    json_build_object json_contains json_contains_path json_each json_extract json_group_array
    json_group_object json_insert json_keys json_length json_merge_patch json_object
    json_object_agg json_objectagg json_overlaps json_patch json_query json_quote json_remove
    json_replace json_set json_table json_tree json_type json_unquote json_valid json_value
    jsonb jsonb_agg jsonb_array_elements jsonb_array_elements_text jsonb_array_length
    jsonb_build_array jsonb_build_object jsonb_each jsonb_each_text jsonb_extract_path
    jsonb_extract_path_text jsonb_object_agg jsonb_object_keys jsonb_path_exists
    jsonb_path_query jsonb_path_query_array jsonb_set jsonb_typeof lag last_day last_value lcase
    lead least left length like likelihood likely ln locate log log10 log2 lower lower_inc
    lower_inf lpad ltrim make_date make_interval makedate maketime max md5 microsecond mid min
    minute mod mode month nth_value ntile nullif nummultirange numrange oct octet_length ord
    overlay percent_rank percentile_cont percentile_disc period_add period_diff
    phrase_to_tsquery phraseto_tsquery plainto_tsquery position pow power quarter quote radians
    range_agg range_merge rank regexp regexp_count regexp_instr regexp_like regexp_match
    regexp_matches regexp_replace regexp_split_to_array regexp_split_to_table regexp_substr
    regr_avgx regr_avgy regr_count regr_intercept regr_r2 regr_slope regr_sxx regr_sxy regr_syy
    repeat replace reverse right round row row_number row_to_json rpad rtrim sec_to_time second
    setweight sha1 sha2 sha224 sha256 sha384 sha512 sign sin soundex split_part sqrt st_asbinary
    std stddev stddev_pop stddev_samp str_to_date string_agg strip strpos subdate substr
    substring substring_index sum tan time_format time_to_sec timediff timestampadd
    timestampdiff to_char to_date to_days to_json to_jsonb to_number to_timestamp to_tsquery
    to_tsvector total translate trim trunc truncate ts_headline ts_rank ts_rank_cd tsrange
    tstzrange typeof ucase unhex unicode unlikely unnest upper upper_inc upper_inf var_pop
    var_samp variance websearch_to_tsquery week weekday weekofyear width_bucket xmlagg xmlconcat
    xmlelement year yearweek zeroblob
    """.split()  # noqa: SIM905
)

#: Clocks, randomness, sequences, settings and session state, whatever a catalogue says of them.
VOLATILE = frozenset(
    """
    age benchmark binlog_gtid_pos changes clock_timestamp col_description connection_id curdate
    current_catalog current_database current_date current_query current_role current_schema
    current_schemas current_setting current_time current_timestamp current_user current_xid
    currval cursor_to_xml cursor_to_xmlschema curtime database database_to_xml encrypt
    found_rows gen_random_uuid get_lock getpgusername inet_client_addr inet_client_port
    inet_server_addr inet_server_port is_free_lock is_used_lock last_insert_id last_insert_rowid
    lastval load_extension load_file localtime localtimestamp master_gtid_wait master_pos_wait
    name_const nextval now obj_description query_to_xml query_to_xml_and_xmlschema
    query_to_xmlschema rand random random_bytes random_normal randomblob release_all_locks
    release_lock row_count row_security_active schema schema_to_xml session_user set_config
    setseed setval shobj_description sleep sqlite_offset sqlite_source_id sqlite_version
    statement_timestamp sys_extract_utc sys_guid sysdate system_user table_to_xml
    table_to_xml_and_xmlschema table_to_xmlschema timeofday total_changes transaction_timestamp
    ts_stat txid_current txid_current_snapshot unix_timestamp user utc_date utc_time
    utc_timestamp uuid uuid_generate_v1 uuid_generate_v1mc uuid_generate_v4 uuid_short uuidv4
    uuidv7 version wsrep_last_seen_gtid wsrep_last_written_gtid wsrep_sync_wait_upto_gtid
    """.split()  # noqa: SIM905
)

# With the argument 'now', or none at all, these are clocks; SQLite still calls them deterministic.
_SQLITE_CLOCKS = frozenset({"date", "datetime", "julianday", "strftime", "time", "unixepoch"})

# Part of MySQL's grammar, and so in no catalogue; they cannot be called without an argument, which
# they cut a date or a time out of.
_MYSQL_GRAMMAR = frozenset({"date", "time"})

# Built-in and harmless by their volatility class, yet they read catalogues or session state.
_POSTGRES_STATE_PREFIXES = ("pg_", "has_", "to_reg", "txid_", "lo_", "inet_", "current_")


def purity(connection: BaseDatabaseWrapper, name: str) -> Purity | None:
    """Tell what calling a function means, asking the database.

    Args:
        connection: asked through the driver, so that nothing shows up in Django's query log.
        name: casefolded, without a schema.

    Returns:
        None when the database could not be asked just now.
    """
    if name in VOLATILE or name.startswith("@"):
        return Purity.VOLATILE
    if name in PURE and connection.vendor not in _OWN:
        return Purity.PURE
    ask = _CATALOGUES.get(connection.vendor)
    if ask is None:
        return Purity.VOLATILE
    return _asked(connection, lambda cursor: ask(cursor, name), f"the function {name}")


def own_functions(connection: BaseDatabaseWrapper) -> frozenset[str] | None:
    """Return the names of functions that somebody has made in the database, casefolded.

    Args:
        connection: asked as by `purity`. Functions of SQLite are the program's own, and read
            nothing of the database.

    Returns:
        None when the database could not be asked just now.
    """
    ask = _OWN.get(connection.vendor)
    if ask is None:
        return frozenset()

    def names(cursor: Any) -> frozenset[str]:
        cursor.execute(ask)
        return frozenset(_text(name).casefold() for (name,) in cursor.fetchall())

    return _asked(connection, names, "its functions")


def _asked(
    connection: BaseDatabaseWrapper, ask: Callable[[Any], Answer], about: str
) -> Answer | None:
    if connection.needs_rollback:
        return None
    try:
        with question(connection) as cursor:
            return ask(cursor)
    except connection.Database.Error:  # type: ignore[attr-defined]
        logger.warning("could not ask %s about %s", connection.alias, about)
        return None


#: Those that came with PostgreSQL have smaller numbers: `FirstNormalObjectId` of its sources.
_OWN = {
    "postgresql": "SELECT DISTINCT proname FROM pg_catalog.pg_proc WHERE oid >= 16384",
    "mysql": "SELECT DISTINCT routine_name FROM information_schema.routines",
}


def _postgresql(cursor: Any, name: str) -> Purity:
    cursor.execute(
        "SELECT provolatile, pronamespace = 'pg_catalog'::regnamespace"
        " FROM pg_catalog.pg_proc WHERE lower(proname) = %s",
        [name],
    )
    found = [(_text(kind), built_in) for kind, built_in in cursor.fetchall()]
    if name in PURE:
        # Those that are built in, or in no catalogue since they are grammar, are known.
        found = [(kind, built_in) for kind, built_in in found if not built_in]
        return postgresql_purity(name, found) if found else Purity.PURE
    return postgresql_purity(name, found) if found else Purity.VOLATILE


def postgresql_purity(name: str, found: Sequence[tuple[str, bool]]) -> Purity:
    """Tell what calling a function of PostgreSQL means.

    Args:
        name: casefolded, without a schema.
        found: of every function that may be meant, `provolatile` and whether it is built in.
    """
    kinds = {kind for kind, _ in found}
    if all(built_in for _, built_in in found):
        state = name.startswith(_POSTGRES_STATE_PREFIXES)
        return Purity.VOLATILE if "v" in kinds or state else Purity.PURE
    if kinds == {"i"}:
        return Purity.PURE
    # Only a volatile function may write: https://www.postgresql.org/docs/current/xfunc-volatility.html
    return Purity.WRITES if "v" in kinds else Purity.VOLATILE


def _mysql(cursor: Any, name: str) -> Purity:
    cursor.execute(
        "SELECT is_deterministic, sql_data_access FROM information_schema.routines"
        " WHERE lower(routine_name) = %s",
        [name],
    )
    found = cursor.fetchall()
    if found:
        # CONTAINS SQL is the default and nobody checks it; only NO SQL says that no table is read.
        if all(row == ("YES", "NO SQL") for row in found):
            return Purity.PURE
        reads_only = all(row[1] in ("NO SQL", "READS SQL DATA") for row in found)
        return Purity.VOLATILE if reads_only else Purity.WRITES
    if name in PURE or name in _MYSQL_GRAMMAR:
        return Purity.PURE
    cursor.execute(
        "SELECT 1 FROM information_schema.tables"
        " WHERE table_schema = 'information_schema' AND table_name = 'SQL_FUNCTIONS'"
    )
    if not cursor.fetchall():
        return Purity.VOLATILE
    cursor.execute(
        "SELECT 1 FROM information_schema.SQL_FUNCTIONS WHERE lower(function) = %s", [name]
    )
    return Purity.PURE if cursor.fetchall() else Purity.VOLATILE


def _sqlite(cursor: Any, name: str) -> Purity:
    if name in _SQLITE_CLOCKS:
        return Purity.VOLATILE
    found = list(
        cursor.execute(
            "SELECT flags FROM pragma_function_list WHERE lower(name) = %s",
            [name],
        )
    )
    deterministic = 0x800  # SQLITE_DETERMINISTIC, https://www.sqlite.org/c3ref/c_deterministic.html
    if found and all(flags & deterministic for (flags,) in found):
        return Purity.PURE
    return Purity.VOLATILE


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


_CATALOGUES = {"postgresql": _postgresql, "mysql": _mysql, "sqlite": _sqlite}
