//! What every command starts from: the options, the saved sign-in, and a client made of both.

use lambel_client::{Client, Machine, Renewal, SignIn, TokenSource};

use crate::{
    Global,
    exit::{Exit, Failure, Outcome},
    output::Output,
    password,
    profile::{Profile, ProfileName, Profiles},
};

/// The options of every command, and what they lead to.
pub(crate) struct Context {
    pub(crate) out: Output,
    pub(crate) profiles: Profiles,
    pub(crate) name: ProfileName,
    api: Option<String>,
}

impl Context {
    pub(crate) fn new(global: Global) -> Self {
        let Global { api, profile, json, quiet } = global;
        let api = api.filter(|api| !api.trim().is_empty());
        Self { out: Output { json, quiet }, profiles: Profiles::of_user(), name: profile, api }
    }

    /// A client that has not signed in, for the service that is named or that the profile knows.
    pub(crate) fn open_client(&self) -> Outcome<Client> {
        let api =
            match &self.api {
                Some(api) => api.clone(),
                None => self.profiles.load(&self.name)?.map(|profile| profile.api).ok_or_else(|| {
                    Failure::usage("which service? Give its address with `--api URL` or in LAMBEL_API")
                })?,
            };
        Ok(Client::new(&api, TokenSource::none())?)
    }

    /// A client that has signed in. Tokens that it renews are saved.
    pub(crate) fn client(&self) -> Outcome<Client> {
        let open = self.open_client()?;
        let profile = self.signed_in_to(open.address())?;
        let (profiles, name, out) = (self.profiles.clone(), self.name.clone(), self.out);
        let renewal = renewal(&profile)?;
        let tokens = TokenSource::session_kept_by(renewal, profile.session.clone(), move |session| {
            let profile = profile.renewed(session);
            if let Err(failure) = profiles.save(&name, &profile) {
                out.note(&format!("the renewed sign-in is not saved: {}", failure.message));
            }
        });
        Ok(open.signed_in(tokens))
    }

    /// Somebody's way to their own account, with a session that will live for a while.
    pub(crate) async fn account(&self) -> Outcome<(SignIn, Profile)> {
        let mut profile = self.signed_in_to(self.open_client()?.address())?;
        if profile.session.is_machine() {
            return Err(Failure::usage("a machine has no account; the owner of the service looks after it"));
        }
        let sign_in = SignIn::new(&profile.config)?;
        if profile.session.ends_soon() {
            profile = profile.renewed(&sign_in.renew(&profile.session).await?);
            self.profiles.save(&self.name, &profile)?;
        }
        Ok((sign_in, profile))
    }

    /// The saved sign-in, if it is one to this service.
    fn signed_in_to(&self, address: &str) -> Outcome<Profile> {
        let profile = self.profiles.load(&self.name)?;
        let advice = format!("sign in with `lambel --api {address} --profile {} login --username NAME`", self.name);
        match profile {
            Some(profile) if profile.api == address => Ok(profile),
            Some(profile) => Err(Failure::new(
                Exit::NotAllowed,
                format!("the profile `{}` is signed in to {}, not to {address}; {advice}", self.name, profile.api),
            )),
            None => Err(Failure::new(Exit::NotAllowed, format!("nobody is signed in; {advice}"))),
        }
    }
}

/// How the session of a profile gets new tokens. The secret of a machine is not kept, so its environment must
/// have it, at the latest when the first token ends.
fn renewal(profile: &Profile) -> Outcome<Renewal> {
    if !profile.session.is_machine() {
        return Ok(SignIn::new(&profile.config)?.into());
    }
    match password::client_secret() {
        Some(secret) => Ok(Machine::new(&profile.config, &profile.username, &secret)?.into()),
        None if profile.session.ends_soon() => Err(Failure::new(
            Exit::NotAllowed,
            "the sign-in of this machine has ended; set LAMBEL_CLIENT_SECRET, and it is renewed whenever it ends",
        )),
        None => Ok(Renewal::None),
    }
}
