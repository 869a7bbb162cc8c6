"""The part of Django's suite that is about the ORM: what runs in half the time."""

from __future__ import annotations

#: Modules whose tests are nearly all queries; not forms, templates, views, HTTP and the admin.
ORM = """
    aggregation aggregation_regress annotations async backends basic bulk_create composite_pk
    constraints contenttypes_tests custom_columns custom_lookups custom_managers custom_methods
    custom_migration_operations custom_pk datatypes dates datetimes db_functions db_typecasts
    db_utils defer defer_regress delete delete_regress distinct_on_fields empty expressions
    expressions_case expressions_window extra_regress field_defaults field_subclassing
    filtered_relation fixtures fixtures_regress force_insert_update foreign_object from_db_value
    generic_relations generic_relations_regress get_earliest_or_latest get_or_create indexes
    inspectdb introspection known_related_objects lookup m2m_and_m2o m2m_intermediary m2m_multiple
    m2m_recursive m2m_regress m2m_signals m2m_through m2m_through_regress m2o_recursive
    managers_regress many_to_many many_to_one many_to_one_null max_lengths migrate_signals
    migration_test_data_persistence migrations model_fields model_indexes model_inheritance
    model_inheritance_regress model_options model_regress multiple_database mutually_referential
    nested_foreign_keys null_fk null_fk_ordering null_queries one_to_one or_lookups
    order_with_respect_to ordering pagination postgres_tests prefetch_related
    proxy_model_inheritance proxy_models queries queryset_pickle raw_query reserved_names
    reverse_lookup save_delete_hooks schema select_for_update select_related
    select_related_onetoone select_related_regress serializers sessions_tests signals str
    string_lookup swappable_models test_utils timezones transaction_hooks transactions
    unmanaged_models update update_only_fields xor_lookups
""".split()  # noqa: SIM905
