//! Schemas of the types that are written as text.

use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, SchemaFormat, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::{EndpointId, Ts};

impl PartialSchema for Ts {
    fn schema() -> RefOr<Schema> {
        let format = SchemaFormat::KnownFormat(KnownFormat::DateTime);
        ObjectBuilder::new()
            .schema_type(Type::String)
            .format(Some(format))
            .description(Some("RFC 3339, UTC, microseconds"))
            .into()
    }
}

impl ToSchema for Ts {}

impl PartialSchema for EndpointId {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .pattern(Some("^[0-9a-f]{16}$"))
            .description(Some("Names an endpoint"))
            .into()
    }
}

impl ToSchema for EndpointId {}
