//! The routes: one table from which both the router and the description are made, so that neither knows a route, role or answer
//! that the other does not.

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Query, Request, State};
use axum::http::Uri;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::MethodRouter;
use sidetap_store::List;
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::access::{Role, authorize};
use crate::app::App;
use crate::problem::Problem;

/// Bytes of a body.
const BODY: usize = 1 << 20;
/// Bytes of a body by somebody who need not say who he is.
const OPEN_BODY: usize = 16 << 10;
/// Bytes of a policy.
pub(crate) const LARGE_BODY: usize = 8 << 20;

/// A route.
pub(crate) struct Route {
    pub(crate) method: &'static str,
    pub(crate) path: &'static str,
    /// What it takes; nothing for what anybody may.
    pub(crate) role: Option<Role>,
    pub(crate) by: By,
    pub(crate) summary: &'static str,
    pub(crate) query: Params,
    pub(crate) body: Option<TypeOf>,
    pub(crate) answer: Answer,
    pub(crate) handler: MethodRouter<App>,
    pub(crate) large: bool,
}

/// Parameters of a query string.
pub(crate) enum Params {
    None,
    /// Those of a list, and more.
    List(&'static List, &'static [&'static str]),
    /// These, with what they are.
    Named(&'static [(&'static str, Kind)]),
    /// These, and what else another server sends a browser back with.
    Sent(&'static [(&'static str, Kind)]),
}

/// Parameters of which there is one.
const ONCE: [&str; 5] = ["limit", "cursor", "sort", "format", "q"];

/// Refuses what a route does not know, so that nobody takes an answer for what was not asked; those of lists are told by the lists.
fn refused(params: &Params, uri: &Uri) -> Option<Problem> {
    let Ok(Query(pairs)) = Query::<Vec<(String, String)>>::try_from_uri(uri) else {
        return Some(Problem::bad_query("the query cannot be read: name=value, with & between"));
    };
    for (at, (name, _)) in pairs.iter().enumerate() {
        let is_known = match params {
            Params::None => false,
            Params::Named(known) => known.iter().any(|(n, _)| n == name),
            Params::List(..) | Params::Sent(_) => true,
        };
        if !is_known {
            return Some(Problem::bad_query(format!("{name}: no such parameter")));
        }
        if ONCE.contains(&name.as_str()) && pairs.iter().skip(at + 1).any(|(n, _)| n == name) {
            return Some(Problem::bad_query(format!("{name}: given twice")));
        }
    }
    None
}

async fn check(State(params): State<Arc<Params>>, request: Request, next: Next) -> Response {
    match refused(&params, request.uri()) {
        Some(problem) => problem.into_response(),
        None => next.run(request).await,
    }
}

/// What a parameter is.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    Text,
    Integer,
    /// A page, or a file.
    Format,
    Time,
}

/// What somebody who may comes by.
#[derive(Clone, Copy)]
pub(crate) enum By {
    /// A session or a token.
    Either,
    /// A session: no token will do.
    Session,
}

/// What is answered.
pub(crate) enum Answer {
    /// 204.
    Empty,
    /// 200 with one thing.
    One(TypeOf),
    /// 201 with one thing.
    Created(TypeOf),
    /// 200 with a page.
    Page(TypeOf),
    /// 200 with an object whose fields docs/api.md tells.
    Object,
    /// 200 with a page of such objects.
    Objects,
    /// 303 to another place.
    Elsewhere,
    /// 200 with something that is neither JSON nor text.
    Raw(&'static str),
    /// 200 with server-sent events, by their names.
    Events(Vec<(&'static str, TypeOf)>),
}

/// A type and how it is described.
pub(crate) struct TypeOf {
    pub(crate) name: String,
    pub(crate) add: fn(&mut Vec<(String, RefOr<Schema>)>),
}

/// Describes a type.
pub(crate) fn of<T: ToSchema>() -> TypeOf {
    fn add<T: ToSchema>(all: &mut Vec<(String, RefOr<Schema>)>) {
        all.push((T::name().into_owned(), <T as PartialSchema>::schema()));
        T::schemas(all);
    }
    TypeOf { name: T::name().into_owned(), add: add::<T> }
}

impl Route {
    pub(crate) fn new(
        method: &'static str,
        path: &'static str,
        role: Role,
        handler: MethodRouter<App>,
    ) -> Self {
        Route {
            method,
            path,
            role: Some(role),
            by: By::Either,
            summary: "",
            query: Params::None,
            body: None,
            answer: Answer::Object,
            handler,
            large: false,
        }
    }

    /// A route that anybody may.
    pub(crate) fn open(method: &'static str, path: &'static str, handler: MethodRouter<App>) -> Self {
        Route { role: None, ..Route::new(method, path, Role::Viewer, handler) }
    }

    pub(crate) fn says(self, summary: &'static str) -> Self {
        Route { summary, ..self }
    }

    pub(crate) fn query(self, query: Params) -> Self {
        Route { query, ..self }
    }

    pub(crate) fn body(self, body: TypeOf) -> Self {
        Route { body: Some(body), ..self }
    }

    pub(crate) fn gives(self, answer: Answer) -> Self {
        Route { answer, ..self }
    }

    pub(crate) fn by_session(self) -> Self {
        Route { by: By::Session, ..self }
    }

    pub(crate) fn large(self) -> Self {
        Route { large: true, ..self }
    }
}

/// The router of a table.
pub(crate) fn router(app: &App, routes: Vec<Route>) -> Router<App> {
    routes.into_iter().fold(Router::new(), |router, route| {
        let limit = DefaultBodyLimit::max(match (route.large, route.role) {
            (true, _) => LARGE_BODY,
            (false, Some(_)) => BODY,
            (false, None) => OPEN_BODY,
        });
        let known = from_fn_with_state(Arc::new(route.query), check);
        let handler = route.handler.layer(limit).layer(known);
        let handler = match route.role {
            Some(role) => handler.route_layer(from_fn_with_state((App::clone(app), role), authorize)),
            None => handler,
        };
        router.route(route.path, handler)
    })
}
