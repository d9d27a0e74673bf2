//! Who asks, as the gateway says.

use std::collections::HashMap;

use lambda_http::{RequestExt, request::RequestContext};
use lambel_service::{Caller, Role, caller::team_of_group};

/// The caller whose token the gateway has checked. None where the route has no authorizer.
pub fn caller<B>(request: &lambda_http::http::Request<B>) -> Option<Caller> {
    let RequestContext::ApiGatewayV2(context) = request.request_context_ref()? else { return None };
    let claims = &context.authorizer.as_ref()?.jwt.as_ref()?.claims;
    let subject = claims.get("sub")?;
    // An ID token calls it one way, an access token the other; a machine has its id for a name.
    let name = claims.get("cognito:username").or_else(|| claims.get("username")).unwrap_or(subject);
    let groups = claims.get("cognito:groups").map_or("", String::as_str);
    let teams = list(groups).filter_map(team_of_group);
    Some(Caller::new(subject, roles(claims)).named(name.parse().ok()).in_teams(teams))
}

/// The roles that a token gives: by its groups if it is a person's, by its scopes if it is a machine's.
fn roles(claims: &HashMap<String, String>) -> Vec<Role> {
    let claim = |name| claims.get(name).map_or("", String::as_str);
    if is_machine(claims) {
        claim("scope").split(' ').filter_map(Role::of_scope).collect()
    } else {
        list(claim("cognito:groups")).filter_map(Role::of_group).collect()
    }
}

/// Whether a token was given to an app client in its own name. Such a token is an access token whose subject is
/// the client. A person's access token has scopes too, which say nothing of what that person may do here.
fn is_machine(claims: &HashMap<String, String>) -> bool {
    claims.get("token_use").is_some_and(|kind| kind == "access")
        && claims.get("client_id").is_some_and(|client| claims.get("sub") == Some(client))
        && !["username", "cognito:username", "cognito:groups"].iter().any(|name| claims.contains_key(*name))
}

/// The members of a claim that is a list. An HTTP API writes `[clients admins]`.
fn list(claim: &str) -> impl Iterator<Item = &str> {
    let names = claim.trim_start_matches('[').trim_end_matches(']');
    names.split([' ', ',']).map(|name| name.trim_matches('"'))
}

#[cfg(test)]
mod tests {
    use lambda_http::{http::Request, request::LambdaRequest};

    use super::*;

    fn of(claims: &[(&str, &str)]) -> Vec<Role> {
        roles(&claims.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
    }

    fn groups(value: &str) -> Vec<Role> {
        of(&[("sub", "b3c1"), ("token_use", "id"), ("aud", "app"), ("cognito:groups", value)])
    }

    #[test]
    fn groups_are_read_as_the_gateway_writes_them() {
        assert_eq!(groups("[clients admins]"), [Role::Client, Role::Admin]);
        assert_eq!(groups("operators"), [Role::Operator]);
        assert_eq!(groups("[\"operators\",\"clients\"]"), [Role::Operator, Role::Client]);
        assert_eq!(groups("[other]"), []);
        assert_eq!(groups(""), []);
        assert_eq!(of(&[("sub", "b3c1"), ("token_use", "id")]), []);
        let teams: Vec<_> = list("[operators team:birds team:Bad]").filter_map(team_of_group).collect();
        assert_eq!(teams.iter().map(ToString::to_string).collect::<Vec<_>>(), ["birds"]);
    }

    fn machine(scope: &str) -> Vec<Role> {
        of(&[("sub", "4k2j"), ("client_id", "4k2j"), ("token_use", "access"), ("version", "2"), ("scope", scope)])
    }

    #[test]
    fn a_machine_has_the_roles_of_its_scopes_and_is_never_an_admin() {
        assert_eq!(machine("lambel/tasks"), [Role::Client]);
        assert_eq!(machine("lambel/labels lambel/tasks"), [Role::Operator, Role::Client]);
        for other in ["", "lambel/admins", "lambel/admin", "admins", "other/tasks", "tasks", "lambel/tasksx", "openid"]
        {
            assert_eq!(machine(other), [], "{other}");
        }
    }

    #[test]
    fn the_scopes_of_a_person_give_nothing() {
        let person = [("sub", "b3c1"), ("client_id", "app"), ("username", "ann"), ("token_use", "access")];
        let scope = ("scope", "aws.cognito.signin.user.admin lambel/tasks lambel/labels");
        assert_eq!(of(&[&person[..], &[scope]].concat()), []);
        assert_eq!(of(&[&person[..], &[scope, ("cognito:groups", "[operators]")]].concat()), [Role::Operator]);
        // Nor do those of a token that is only half a machine's.
        let base = [("sub", "4k2j"), ("client_id", "4k2j"), scope];
        assert_eq!(of(&base), []);
        assert_eq!(of(&[&base[..], &[("token_use", "id")]].concat()), []);
        assert_eq!(of(&[&base[..], &[("token_use", "access"), ("username", "4k2j")]].concat()), []);
        assert_eq!(of(&[&base[..], &[("token_use", "access"), ("cognito:groups", "[other]")]].concat()), []);
        assert_eq!(of(&[scope, ("token_use", "access")]), []);
    }

    /// A request as an HTTP API hands it over: all claims are text, and the scopes of the token stand in them.
    /// `scopes` has a value only where a route asks for scopes, and ours ask for none.
    #[test]
    fn a_machines_request_has_the_shape_of_an_http_api() {
        let event = r#"{"version":"2.0","routeKey":"ANY /api/tasks","rawPath":"/api/tasks","rawQueryString":"",
            "headers":{"content-type":"application/json"},"isBase64Encoded":false,
            "requestContext":{"accountId":"123456789012","apiId":"a1b2","domainName":"a1b2.execute-api.eu-central-1.amazonaws.com",
              "domainPrefix":"a1b2","requestId":"r","routeKey":"ANY /api/tasks","stage":"$default",
              "time":"21/Nov/2026:12:00:00 +0000","timeEpoch":1795262400000,
              "http":{"method":"GET","path":"/api/tasks","protocol":"HTTP/1.1","sourceIp":"192.0.2.1","userAgent":"x"},
              "authorizer":{"jwt":{"claims":{"auth_time":"1795262400","client_id":"4k2j6l","exp":"1795266000",
                "iat":"1795262400","iss":"https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_Ab12",
                "jti":"e1","scope":"lambel/tasks","sub":"4k2j6l","token_use":"access","version":"2"},"scopes":null}}}}"#;
        let request: Request<lambda_http::Body> = serde_json::from_str::<LambdaRequest>(event).unwrap().into();
        let caller = caller(&request).unwrap();
        assert_eq!(caller.client().unwrap().as_str(), "4k2j6l");
        assert!(caller.operator().is_err() && !caller.is(Role::Admin));
    }
}
