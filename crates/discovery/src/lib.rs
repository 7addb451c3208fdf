//! Path templates, endpoint inventory, schema inference, OpenAPI and API risks.
