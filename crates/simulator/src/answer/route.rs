//! From method and path to one of the nine endpoints.

use healthflow_core::healthflow::wire::{Method, WireRequest};

/// An endpoint of the contract, with what its path and query name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Route {
    ListAppointments(Query),
    CreateAppointment,
    GetAppointment(String),
    PutAppointment(String),
    ListPatients(Query),
    CreatePatient,
    SearchPatients,
    GetPatient(String),
    PutPatient(String),
}

/// Why there is no endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoRoute {
    Path,
    Method,
}

/// The decoded query of a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    fn parse(text: &str) -> Self {
        let pairs = text.split('&').filter(|pair| !pair.is_empty());
        Query(
            pairs
                .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
                .map(|(name, value)| (decoded(name), decoded(value)))
                .collect(),
        )
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

impl Route {
    pub(super) fn find(request: &WireRequest) -> Result<Self, NoRoute> {
        let (path, query) = request.path_and_query.split_once('?').unwrap_or((&request.path_and_query, ""));
        let mut segments = path.trim_start_matches('/').split('/');
        let (first, second, rest) = (segments.next().unwrap_or_default(), segments.next(), segments.next());
        match (first, second, rest, request.method) {
            ("appointments", None, None, Method::Get) => Ok(Route::ListAppointments(Query::parse(query))),
            ("appointments", None, None, Method::Post) => Ok(Route::CreateAppointment),
            ("appointments", Some(id), None, Method::Get) => Ok(Route::GetAppointment(decoded(id))),
            ("appointments", Some(id), None, Method::Put) => Ok(Route::PutAppointment(decoded(id))),
            ("patients", None, None, Method::Get) => Ok(Route::ListPatients(Query::parse(query))),
            ("patients", None, None, Method::Post) => Ok(Route::CreatePatient),
            ("patients", Some("search"), None, Method::Post) => Ok(Route::SearchPatients),
            ("patient", Some(id), None, Method::Get) => Ok(Route::GetPatient(decoded(id))),
            ("patient", Some(id), None, Method::Put) => Ok(Route::PutPatient(decoded(id))),
            ("appointments" | "patients", None, None, _) => Err(NoRoute::Method),
            ("appointments" | "patient", Some(_), None, _) => Err(NoRoute::Method),
            ("patients", Some("search"), None, _) => Err(NoRoute::Method),
            _ => Err(NoRoute::Path),
        }
    }

    pub(super) const fn is_write(&self) -> bool {
        matches!(
            self,
            Route::CreateAppointment | Route::PutAppointment(_) | Route::CreatePatient | Route::PutPatient(_)
        )
    }

    /// The name in the ledger.
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Route::ListAppointments(_) => "list_appointments",
            Route::CreateAppointment => "create_appointment",
            Route::GetAppointment(_) => "get_appointment",
            Route::PutAppointment(_) => "update_appointment",
            Route::ListPatients(_) => "list_patients",
            Route::CreatePatient => "create_patient",
            Route::SearchPatients => "search_patients",
            Route::GetPatient(_) => "get_patient",
            Route::PutPatient(_) => "update_patient",
        }
    }
}

/// Percent-decoding: an invalid escape stays as it is, invalid UTF-8 becomes replacement characters.
fn decoded(text: &str) -> String {
    if !text.contains('%') {
        return text.to_owned();
    }
    let bytes = text.as_bytes();
    let mut plain = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let digits = (byte == b'%').then(|| bytes.get(at + 1..at + 3)).flatten();
        let escaped = digits.and_then(|digits| std::str::from_utf8(digits).ok());
        match escaped.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(value) => {
                plain.push(value);
                at += 3;
            }
            None => {
                plain.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&plain).into_owned()
}
