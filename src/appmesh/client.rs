//! The client of one target: one method for each thing that App Mesh's API can do, over all seven kinds.
//!
//! **Invariants:** a target is what its options name, whatever `AWS_ENDPOINT_URL` says. It is one server: once another answers,
//! every call fails, and a new client is needed. Every call is safe to send twice, and is tried again while the trouble may
//! pass and patience lasts. No answer is read without a bound, nor a list.

mod answer;
mod call;
mod error;
mod held;
mod line;
mod login;
mod operations;
mod options;
mod pages;
mod rate;
mod retry;
mod secret;
mod server;
mod words;

use std::sync::{Arc, Mutex, PoisonError};

use aws_sdk_appmesh::config::retry::RetryConfig;
use aws_sdk_appmesh::config::timeout::TimeoutConfig;
use aws_sdk_appmesh::config::{BehaviorVersion, Config};
use serde_json::{Map, Value, json};

use super::{account, read};
use crate::model::schema::kind_schema;
use crate::model::tags::Tags;
use crate::model::{ResourceId, ResourceKind};
use answer::Answer;
use call::Call;
use line::Line;
use pages::Pages;
use rate::Rate;
use server::Server;

pub use error::TargetError;
pub use held::{Held, ListedMesh, Metadata, NoTags, Within, Written};
pub use options::{KeySource, TargetOptions, checked_account};

/// A client of one target. A clone is cheap, and shares the rate and the connections.
#[derive(Clone, Debug)]
pub struct Client {
    sdk: aws_sdk_appmesh::Client,
    target: Arc<Target>,
    /// The account of the meshes that it reads, if that is another than the key's.
    owner: Option<Arc<str>>,
}

/// What all calls to a target share.
#[derive(Debug)]
struct Target {
    endpoint: String,
    rate: Option<Rate>,
    /// Whether there are credentials, or only ones that are made up for a target which asks for none.
    has_credentials: bool,
    server: Mutex<Server>,
    line: Line,
    account: Mutex<Account>,
}

/// The account that a target belongs to.
#[derive(Clone, Debug, Default)]
struct Account {
    /// As it was asked for, or as it was found first.
    meant: Option<String>,
    /// Whether anything has shown yet that it is that one.
    is_seen: bool,
}

impl Client {
    /// A client for the target that the options name. Region and credentials are looked up; the target is not called.
    ///
    /// # Errors
    /// [`TargetError::Options`] when the options name nothing that can be called, [`TargetError::Credentials`] when it needs
    /// credentials and none are found.
    pub async fn connect(options: TargetOptions) -> Result<Self, TargetError> {
        let scheme = options.scheme()?;
        let login = login::find(&options, scheme).await?;
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(options::CONNECT_WITHIN.min(options.patience))
            .operation_attempt_timeout(options::ANSWER_WITHIN.min(options.patience))
            .operation_timeout(options.patience);
        let retries = RetryConfig::adaptive()
            .with_max_attempts(retry::TRIES)
            .with_initial_backoff(retry::FIRST_WAIT)
            .with_max_backoff(retry::LONGEST_WAIT);
        let config = Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .endpoint_url(&options.endpoint)
            .region(login.region)
            .credentials_provider(login.credentials)
            .http_client(login::http_client(scheme))
            .timeout_config(timeouts.build())
            .retry_config(retries)
            .retry_partition(retry::partition(&options.endpoint))
            .retry_classifier(retry::Classifier)
            .build();
        Ok(Self {
            sdk: aws_sdk_appmesh::Client::from_conf(config),
            target: Arc::new(Target {
                rate: options.rate.map(Rate::new),
                endpoint: options.endpoint,
                has_credentials: login.has_credentials,
                server: Mutex::default(),
                line: Line::new(),
                account: Mutex::new(Account {
                    meant: options.account,
                    is_seen: false,
                }),
            }),
            owner: None,
        })
    }

    /// The address of the target, as its options have it.
    pub fn endpoint(&self) -> &str {
        &self.target.endpoint
    }

    /// The id of the Outrigger that the target is, once it has answered; `None` of anything else.
    pub fn server_id(&self) -> Option<String> {
        self.target.server(|server| server.id().map(str::to_owned))
    }

    /// The same target, to read meshes of this account, which shares them with the key's.
    #[must_use]
    pub fn for_meshes_of(&self, owner: &str) -> Self {
        Self {
            owner: Some(owner.into()),
            ..self.clone()
        }
    }

    /// The account that the target belongs to, as it was asked for or found.
    pub fn account(&self) -> Option<String> {
        self.account_state(|account| account.meant.clone())
    }

    /// Whether the account is known, and yet to be seen to be the target's: nothing stands there that would say so.
    pub fn is_unproven(&self) -> bool {
        self.account_state(|account| account.meant.is_some() && !account.is_seen)
    }

    /// Takes note of what a target has, which says whose account it is.
    ///
    /// # Errors
    /// [`TargetError::Account`] when it is another than the one that is meant.
    pub fn recognise(&self, target: &read::Target, mirror: &str) -> Result<(), TargetError> {
        let owners = account::owners(target, mirror);
        let meant = self.account();
        if let Some(meant) = meant.filter(|meant| owners.contains(meant)) {
            return self.belongs_to(&meant);
        }
        let mut found = owners.iter();
        match (found.next(), found.next()) {
            (None, _) => Ok(()),
            // Of several that share meshes, nobody knows which it is.
            (Some(_), Some(_)) if self.account().is_none() => Ok(()),
            (Some(one), _) => self.belongs_to(one),
        }
    }

    /// Takes note of an account that the target was seen to belong to.
    fn belongs_to(&self, found: &str) -> Result<(), TargetError> {
        let account = self.account_state(|account| {
            let meant = account.meant.get_or_insert_with(|| found.to_owned());
            account.is_seen |= meant == found;
            meant.clone()
        });
        if account == found {
            return Ok(());
        }
        Err(TargetError::Account {
            endpoint: self.target.endpoint.clone(),
            account,
            found: found.to_owned(),
        })
    }

    fn account_state<T>(&self, edit: impl FnOnce(&mut Account) -> T) -> T {
        let account = self.target.account.lock();
        edit(&mut account.unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether the target answers at all, whatever it says.
    ///
    /// # Errors
    /// The [`TargetError`] that every call has.
    pub async fn probe(&self) -> Result<(), TargetError> {
        match self.list(&Within::Meshes).await {
            Err(error) if error.is_of_target() => Err(error),
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// Every resource of a list, all pages of it. In what is not there is nothing.
    ///
    /// # Errors
    /// [`TargetError`]; [`TargetError::Lacking`] when the target has no such list.
    pub async fn list(&self, within: &Within) -> Result<Vec<ResourceId>, TargetError> {
        let mut ids = Vec::new();
        self.items(within, |answer, item| {
            ids.push(answer.item(within, item)?);
            Ok(())
        })
        .await?;
        Ok(ids)
    }

    /// Every mesh that the key may know of, those among them that others share with its account.
    ///
    /// # Errors
    /// [`TargetError`].
    pub async fn meshes(&self) -> Result<Vec<ListedMesh>, TargetError> {
        let mut meshes = Vec::new();
        self.items(&Within::Meshes, |answer, item| {
            let id = answer.item(&Within::Meshes, item)?;
            let owner = item.get("meshOwner").and_then(Value::as_str);
            meshes.push(ListedMesh {
                mesh: id.mesh().clone(),
                owner: owner.map(str::to_owned),
            });
            Ok(())
        })
        .await?;
        Ok(meshes)
    }

    async fn items(
        &self,
        within: &Within,
        mut each: impl FnMut(&Answer, &Value) -> Result<(), TargetError>,
    ) -> Result<(), TargetError> {
        let what = format!("list {within}");
        let mut pages = Pages::default();
        let mut token = None;
        loop {
            let call = self.call(&what, None).await;
            let answer = match self.list_page(&call, within, token).await {
                // Whoever does not even know meshes speaks another API, and half of a list is none.
                Err(error) if *within == Within::Meshes || !pages.is_first() => {
                    return Err(error.or_nonsense());
                }
                Err(error) if error.is_absence() => return Ok(()),
                answer => answer?,
            };
            for item in answer.array(within.collection())? {
                each(&answer, item)?;
            }
            token = pages.next(&answer)?;
            if token.is_none() {
                return Ok(());
            }
        }
    }

    /// A resource with its tags; `None`: it is not there.
    ///
    /// # Errors
    /// [`TargetError`].
    pub async fn describe(&self, id: &ResourceId) -> Result<Option<Held>, TargetError> {
        let Some(Written { spec, metadata }) = self.look(id).await? else {
            return Ok(None);
        };
        let mut tags = self.tags(&metadata.arn).await;
        if let Err(TargetError::Lacking { .. }) = tags {
            // What stands before a target may have said so.
            tags = self.tags(&metadata.arn).await;
        }
        let (tags, no_tags) = match tags {
            Ok(tags) => (tags, None),
            Err(error) if error.is_of_target() => return Err(error),
            Err(error) if error.is_absence() && self.look(id).await?.is_none() => return Ok(None),
            Err(TargetError::Lacking { .. }) => (Tags::new(), Some(NoTags::Unknown)),
            Err(error) => (Tags::new(), Some(NoTags::Refused(error.to_string()))),
        };
        Ok(Some(Held {
            spec,
            tags,
            no_tags,
            metadata,
        }))
    }

    /// A resource without its tags.
    async fn look(&self, id: &ResourceId) -> Result<Option<Written>, TargetError> {
        let call = self.call(&format!("describe `{id}`"), None).await;
        match self.describe_one(&call, id).await {
            Err(error) if error.is_absence() => Ok(None),
            Ok(answer) if answer.is_deleted() => Ok(None),
            answer => answer?.resource().map(Some),
        }
    }

    /// The tags of a resource.
    ///
    /// # Errors
    /// [`TargetError`].
    pub async fn tags(&self, arn: &str) -> Result<Tags, TargetError> {
        let what = format!("list the tags of `{arn}`");
        let mut tags = Tags::new();
        let mut pages = Pages::default();
        let mut token = None;
        loop {
            let call = self.call(&what, None).await;
            let answer = self.tags_page(&call, arn, token).await?;
            for item in answer.array("tags")? {
                let text = |member: &str| item.get(member).and_then(Value::as_str);
                let key = text("key").ok_or_else(|| answer.nonsense())?;
                let value = text("value").unwrap_or_default();
                tags.insert(key.to_owned(), value.to_owned());
            }
            token = pages.next(&answer)?;
            if token.is_none() {
                return Ok(tags);
            }
        }
    }

    /// Makes a resource. The same token makes the same call once, however often it arrives.
    ///
    /// # Errors
    /// [`TargetError`]; [`TargetError::Account`] when it was made, and in another account than the one that is meant.
    pub async fn create(
        &self,
        id: &ResourceId,
        spec: &Value,
        tags: &Tags,
        token: &str,
    ) -> Result<Written, TargetError> {
        let mut body = Map::new();
        body.insert(kind_schema(id.kind()).name.into(), id.name().into());
        if !(id.kind() == ResourceKind::Mesh && spec.is_null()) {
            body.insert("spec".into(), spec.clone());
        }
        if !tags.is_empty() {
            body.insert("tags".into(), tag_list(tags));
        }
        body.insert("clientToken".into(), token.into());
        let call = self
            .call(&format!("create `{id}`"), Some(Value::Object(body)))
            .await;
        let written = self.create_one(&call, id).await?.resource()?;
        // Somebody else may have made what is updated.
        if let Some(owner) = account::owner(&written.metadata) {
            self.belongs_to(&owner)?;
        }
        Ok(written)
    }

    /// Replaces a resource's spec. A token is as in [`Self::create`].
    ///
    /// # Errors
    /// [`TargetError`].
    pub async fn update(
        &self,
        id: &ResourceId,
        spec: &Value,
        token: &str,
    ) -> Result<Written, TargetError> {
        let body = json!({ "spec": spec, "clientToken": token });
        let call = self.call(&format!("update `{id}`"), Some(body)).await;
        self.update_one(&call, id).await?.resource()
    }

    /// Deletes a resource. One that is not there is deleted.
    ///
    /// # Errors
    /// [`TargetError`].
    pub async fn delete(&self, id: &ResourceId) -> Result<(), TargetError> {
        let call = self.call(&format!("delete `{id}`"), None).await;
        match self.delete_one(&call, id).await {
            Err(error) if !error.is_absence() => Err(error),
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// Adds tags, and changes those that are there.
    ///
    /// # Errors
    /// [`TargetError`].
    pub async fn tag(&self, arn: &str, tags: &Tags) -> Result<(), TargetError> {
        let body = json!({ "tags": tag_list(tags) });
        let call = self.call(&format!("tag `{arn}`"), Some(body)).await;
        self.tag_one(&call, arn).await.map(drop)
    }

    /// A call whose turn has come.
    async fn call(&self, what: &str, body: Option<Value>) -> Call {
        if let Some(rate) = &self.target.rate {
            rate.turn().await;
        }
        Call::new(Arc::clone(&self.target), what, body)
    }
}

impl Target {
    fn server<T>(&self, edit: impl FnOnce(&mut Server) -> T) -> T {
        edit(&mut self.server.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn tag_list(tags: &Tags) -> Value {
    let tags = tags.iter();
    tags.map(|(key, value)| json!({ "key": key, "value": value }))
        .collect()
}
