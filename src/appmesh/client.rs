//! The client of one target: one method for each thing that App Mesh's API can do, over all seven kinds.
//!
//! **Invariants:** a target is what its options name, whatever `AWS_ENDPOINT_URL` says. Every call is safe to send twice, and
//! is tried again while the trouble may pass and patience lasts.

mod answer;
mod call;
mod error;
mod held;
mod login;
mod operations;
mod options;
mod rate;
mod retry;
mod secret;
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
use call::Call;
use rate::Rate;

pub use error::TargetError;
pub use held::{Held, Metadata, Within, Written};
pub use options::{KeySource, TargetOptions, checked_account};

/// A client of one target. A clone is cheap, and shares the rate and the connections.
#[derive(Clone, Debug)]
pub struct Client {
    sdk: aws_sdk_appmesh::Client,
    target: Arc<Target>,
}

/// What all calls to a target share.
#[derive(Debug)]
struct Target {
    endpoint: String,
    rate: Option<Rate>,
    /// Whether there are credentials, or only ones that are made up for a target which asks for none.
    has_credentials: bool,
    /// Of the newest answer that has one.
    server_id: Mutex<Option<String>>,
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
                server_id: Mutex::default(),
                account: Mutex::new(Account {
                    meant: options.account,
                    is_seen: false,
                }),
            }),
        })
    }

    /// The address of the target, as its options have it.
    pub fn endpoint(&self) -> &str {
        &self.target.endpoint
    }

    /// The id of the Outrigger that the target is, once it has answered; `None` of anything else.
    pub fn server_id(&self) -> Option<String> {
        let id = self.target.server_id.lock();
        id.unwrap_or_else(PoisonError::into_inner).clone()
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
        let mut found = owners.iter();
        match (self.account(), found.next(), found.next()) {
            (Some(meant), Some(_), _) if owners.contains(&meant) => self.belongs_to(&meant),
            (_, Some(one), None) => self.belongs_to(one),
            // Of several that share meshes, nobody knows which it is.
            (None, ..) | (_, None, _) => Ok(()),
            (Some(_), Some(one), Some(_)) => self.belongs_to(one),
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
        let what = format!("list {within}");
        let mut items = Vec::new();
        let mut token = None;
        loop {
            let call = self.call(&what, None).await;
            let answer = match self.list_page(&call, within, token.clone()).await {
                Err(error) if error.is_absence() => return Ok(Vec::new()),
                // Whoever does not even know meshes speaks another API.
                Err(error) if *within == Within::Meshes => return Err(error.or_nonsense()),
                answer => answer?,
            };
            for item in answer.array(within.collection())? {
                items.push(answer.item(within, item)?);
            }
            match answer.next_page(token.as_deref())? {
                Some(next) => token = Some(next),
                None => return Ok(items),
            }
        }
    }

    /// A resource with its tags; `None`: it is not there.
    ///
    /// # Errors
    /// [`TargetError`].
    pub async fn describe(&self, id: &ResourceId) -> Result<Option<Held>, TargetError> {
        let call = self.call(&format!("describe `{id}`"), None).await;
        let answer = match self.describe_one(&call, id).await {
            Err(error) if error.is_absence() => return Ok(None),
            answer => answer?,
        };
        if answer.is_deleted() {
            return Ok(None);
        }
        let Written { spec, metadata } = answer.resource()?;
        match self.tags(&metadata.arn).await {
            Ok(tags) => Ok(Some(Held {
                spec,
                tags,
                metadata,
            })),
            Err(error) if error.is_absence() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The tags of a resource.
    ///
    /// # Errors
    /// [`TargetError`].
    pub async fn tags(&self, arn: &str) -> Result<Tags, TargetError> {
        let what = format!("list the tags of `{arn}`");
        let mut tags = Tags::new();
        let mut token = None;
        loop {
            let call = self.call(&what, None).await;
            let answer = self.tags_page(&call, arn, token.clone()).await?;
            for item in answer.array("tags")? {
                let text = |member: &str| item.get(member).and_then(Value::as_str);
                let key = text("key").ok_or_else(|| answer.nonsense())?;
                let value = text("value").unwrap_or_default();
                tags.insert(key.to_owned(), value.to_owned());
            }
            match answer.next_page(token.as_deref())? {
                Some(next) => token = Some(next),
                None => return Ok(tags),
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

    /// Takes tags away.
    ///
    /// # Errors
    /// [`TargetError`].
    pub async fn untag(&self, arn: &str, keys: &[String]) -> Result<(), TargetError> {
        let body = json!({ "tagKeys": keys });
        let call = self.call(&format!("untag `{arn}`"), Some(body)).await;
        self.untag_one(&call, arn).await.map(drop)
    }

    /// A call whose turn has come.
    async fn call(&self, what: &str, body: Option<Value>) -> Call {
        if let Some(rate) = &self.target.rate {
            rate.turn().await;
        }
        Call::new(Arc::clone(&self.target), what, body)
    }
}

fn tag_list(tags: &Tags) -> Value {
    let tags = tags.iter();
    tags.map(|(key, value)| json!({ "key": key, "value": value }))
        .collect()
}
