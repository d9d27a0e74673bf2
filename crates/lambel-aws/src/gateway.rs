//! Who asks, as the gateway says.

use lambda_http::{RequestExt, request::RequestContext};
use lambel_service::{Caller, Role, caller::team_of_group};

/// The caller whose token the gateway has checked. None where the route has no authorizer.
pub fn caller<B>(request: &lambda_http::http::Request<B>) -> Option<Caller> {
    let RequestContext::ApiGatewayV2(context) = request.request_context_ref()? else { return None };
    let claims = &context.authorizer.as_ref()?.jwt.as_ref()?.claims;
    let subject = claims.get("sub")?;
    let groups = claims.get("cognito:groups").map_or("", String::as_str);
    let roles = names(groups).filter_map(Role::of_group);
    // An ID token calls it one way, an access token the other.
    let name = claims.get("cognito:username").or_else(|| claims.get("username")).map_or(subject, |name| name);
    Some(Caller::new(subject, roles).named(name.parse().ok()).in_teams(names(groups).filter_map(team_of_group)))
}

/// The groups of a claim. An HTTP API writes a list as `[clients admins]`.
fn names(groups: &str) -> impl Iterator<Item = &str> {
    let names = groups.trim_start_matches('[').trim_end_matches(']');
    names.split([' ', ',']).map(|name| name.trim_matches('"'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_read_as_the_gateway_writes_them() {
        let roles = |groups| names(groups).filter_map(Role::of_group).collect::<Vec<_>>();
        assert_eq!(roles("[clients admins]"), [Role::Client, Role::Admin]);
        assert_eq!(roles("operators"), [Role::Operator]);
        assert_eq!(roles("[\"operators\",\"clients\"]"), [Role::Operator, Role::Client]);
        assert_eq!(roles("[other]"), []);
        assert_eq!(roles(""), []);
        let teams: Vec<_> = names("[operators team:birds team:Bad]").filter_map(team_of_group).collect();
        assert_eq!(teams.iter().map(ToString::to_string).collect::<Vec<_>>(), ["birds"]);
    }
}
