//! The schemas that a schema refers to, by the registry's references: without them it would name undefined types, and
//! every record of it would become a dead letter.

use std::collections::HashSet;

use schema_registry_converter::async_impl::schema_registry::get_referenced_schema;
use schema_registry_converter::schema_registry_common::{RegisteredReference, RegisteredSchema};

use crate::registry::RegistryFault;
use crate::registry::access::Access;

/// Schemas that one may refer to, directly or not.
const REFERRED_MAX: usize = 64;

/// The texts of all schemas that `schema` refers to, each after those it refers to itself. Leaves out those beyond
/// [`REFERRED_MAX`]: the schema then names an undefined type and is refused for that.
pub(super) async fn schemas(
    schema: &RegisteredSchema,
    access: &Access,
) -> Result<Vec<String>, RegistryFault> {
    enum Visit {
        Fetch(RegisteredReference),
        Done(String),
    }
    let mut seen = HashSet::new();
    let mut texts = Vec::new();
    let mut to_do: Vec<Visit> = schema.references.iter().rev().cloned().map(Visit::Fetch).collect();
    while let Some(visit) = to_do.pop() {
        match visit {
            Visit::Done(text) => texts.push(text),
            Visit::Fetch(reference) => {
                // One version of a subject is one schema, however many references name it.
                let is_new = seen.insert((reference.subject.clone(), reference.version));
                if !is_new || seen.len() > REFERRED_MAX {
                    continue;
                }
                let about = format!("version {} of {}", reference.version, reference.subject);
                let found = get_referenced_schema(&access.clients().converter, &reference).await;
                let found = found.map_err(|error| access.fault(about, &error))?;
                to_do.push(Visit::Done(found.schema));
                to_do.extend(found.references.into_iter().rev().map(Visit::Fetch));
            }
        }
    }
    Ok(texts)
}
