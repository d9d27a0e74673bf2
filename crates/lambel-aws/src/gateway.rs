//! Who asks, as the gateway says.

use lambda_http::{RequestExt, request::RequestContext};
use lambel_service::{Caller, Role};

/// The caller whose token the gateway has checked. None where the route has no authorizer.
pub fn caller<B>(request: &lambda_http::http::Request<B>) -> Option<Caller> {
    let RequestContext::ApiGatewayV2(context) = request.request_context_ref()? else { return None };
    let claims = &context.authorizer.as_ref()?.jwt.as_ref()?.claims;
    let subject = claims.get("sub")?;
    let groups = claims.get("cognito:groups").map_or("", String::as_str);
    Some(Caller::new(subject, roles(groups)))
}

/// The roles of a claim. An HTTP API writes a list as `[clients admins]`.
fn roles(groups: &str) -> Vec<Role> {
    let names = groups.trim_start_matches('[').trim_end_matches(']');
    names.split([' ', ',']).map(|name| name.trim_matches('"')).filter_map(Role::of_group).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_read_as_the_gateway_writes_them() {
        assert_eq!(roles("[clients admins]"), [Role::Client, Role::Admin]);
        assert_eq!(roles("operators"), [Role::Operator]);
        assert_eq!(roles("[\"operators\",\"clients\"]"), [Role::Operator, Role::Client]);
        assert_eq!(roles("[other]"), []);
        assert_eq!(roles(""), []);
    }
}
