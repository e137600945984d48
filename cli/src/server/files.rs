//! Files: sent, listed, read and deleted.

use super::Shared;
use super::answers::blocking;
use super::body;
use super::content::Content;
use super::multipart::{Head, Multipart, Piece};
use super::paging::{Paging, Query};
use super::reply::{Refused, json, of_type};
use super::routes::{App, Name, Reply};
use crate::openai::{Fault, quoted};
use crate::store::{FileRecord, Id, Kind, Purpose, Store, StoreError, Upload};
use crate::terminal::print_note;
use axum::body::{Body, HttpBody};
use axum::extract::{RawQuery, Request, State};
use gatefold::text::one_line;
use serde_json::json;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// Bytes that go to the disk together.
const PIECE_BYTES: usize = 256 << 10;

/// Bytes of a field that is no file.
const MOST_FIELD_BYTES: usize = 1 << 10;

/// Characters of the name of a file, which file systems allow: the rest is cut off.
const MOST_NAME_CHARS: usize = 255;

/// Bytes of a form besides its file.
const MOST_FORM_BYTES: u64 = 64 << 10;

/// How long a form may take, and as long again for each mebibyte that has come.
const MOST_TIME: Duration = Duration::from_secs(60);

impl Shared {
    /// Where files and batches are kept.
    pub(super) fn store(&self) -> Result<Arc<Store>, Refused> {
        let store = self.service()?.store.clone();
        let message = "this server keeps no files and batches; start it with --data-dir DIR, a folder for them";
        store.ok_or_else(|| Fault::new("data_dir_required", message).into())
    }
}

/// What a client is told of trouble with the store; where on this machine it is, is told here.
pub(super) fn fault_of(error: StoreError) -> Fault {
    if matches!(error, StoreError::File { .. }) {
        print_note(one_line(&error));
    }
    error.into()
}

/// `POST /v1/files`: a form with `purpose` and `file`.
pub(super) async fn upload(State(shared): App, request: Request) -> Reply {
    let (parts, mut body) = request.into_parts();
    let received = async {
        let form = Form::new(shared.store()?, Multipart::new(&parts.headers)?);
        form.check_len(body.size_hint().lower())?;
        receive(form, &mut body).await
    };
    match received.await {
        Ok(record) => Ok(json(&record)),
        Err(refused) => {
            body::discard(body).await;
            Err(refused)
        }
    }
}

/// Takes a form as it comes.
async fn receive(mut form: Form, body: &mut Body) -> Result<FileRecord, Refused> {
    let start = Instant::now();
    let (mut bytes, mut n_bytes) = (Vec::new(), 0u64);
    loop {
        let n_more = u32::try_from(n_bytes >> 20).unwrap_or(u32::MAX);
        let end = start + MOST_TIME + MOST_TIME * n_more;
        let frame = timeout_at(end, poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)));
        let frame = frame.await.map_err(|_| {
            let message = "the body comes too slowly; expected a mebibyte a minute";
            Fault::new("request_timeout", message).with_status(408)
        })?;
        let is_over = frame.is_none();
        let frame = frame.transpose();
        let frame = frame.map_err(|_| Fault::new("incomplete_body", "the body ends early"))?;
        if let Some(data) = frame.and_then(|frame| frame.into_data().ok()) {
            n_bytes += data.len() as u64;
            form.check_len(n_bytes)?;
            bytes.extend_from_slice(&data);
        }
        if is_over || bytes.len() >= PIECE_BYTES {
            (form, bytes) = blocking(move || {
                form.push(&bytes)?;
                bytes.clear();
                Ok((form, bytes))
            })
            .await?;
        }
        if is_over {
            return blocking(move || form.finish()).await;
        }
    }
}

/// A form on its way.
struct Form {
    store: Arc<Store>,
    multipart: Multipart,
    fields: Fields,
}

/// What has come of it.
#[derive(Default)]
struct Fields {
    purpose: Option<String>,
    file: Option<(String, Upload)>,
    /// The part that has not ended.
    current: Option<Head>,
    /// What it has, if it is no file.
    text: Vec<u8>,
}

impl Form {
    fn new(store: Arc<Store>, multipart: Multipart) -> Form {
        Form { store, multipart, fields: Fields::default() }
    }

    /// That it may have so many bytes.
    fn check_len(&self, n_bytes: u64) -> Result<(), Fault> {
        let most = self.store.max_upload().saturating_add(MOST_FORM_BYTES);
        if n_bytes <= most {
            return Ok(());
        }
        let message = format!("the body has more than {most} bytes (--max-upload)");
        Err(Fault::new("file_too_large", message).with_status(413))
    }

    fn push(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        let Form { store, multipart, fields } = self;
        multipart.push(bytes, &mut |piece| fields.take(store, piece))
    }

    fn finish(self) -> Result<FileRecord, Refused> {
        self.multipart.finish()?;
        let missing = |name: &str| {
            Fault::at("missing_required_parameter", name, format!("{name} is missing"))
        };
        let Fields { purpose, file, .. } = self.fields;
        let purpose = purpose.ok_or_else(|| missing("purpose"))?;
        if purpose != Purpose::Batch.name() {
            let purpose = quoted(&purpose.into());
            let message =
                format!("purpose is {purpose}; expected \"batch\", the one that there is");
            return Err(Fault::at("invalid_value", "purpose", message).into());
        }
        let (name, upload) = file.ok_or_else(|| missing("file"))?;
        Ok(self.store.keep_file(upload, name, Purpose::Batch).map_err(fault_of)?)
    }
}

impl Fields {
    fn take(&mut self, store: &Store, piece: Piece<'_>) -> Result<(), Fault> {
        match (piece, &self.current) {
            (Piece::Head(head), _) => self.begin(store, head),
            (Piece::Content(bytes), Some(Head { name, .. })) if name == "file" => {
                let (_, upload) = self.file.as_mut().expect("it has begun");
                upload.write(bytes).map_err(fault_of)
            }
            (Piece::Content(bytes), _) => {
                self.text.extend_from_slice(bytes);
                if self.text.len() > MOST_FIELD_BYTES {
                    let message = format!("a field has more than {MOST_FIELD_BYTES} bytes");
                    return Err(Fault::new("invalid_form", message));
                }
                Ok(())
            }
            (Piece::End, _) => {
                if self.current.take().is_some_and(|head| head.name == "purpose") {
                    self.purpose = Some(String::from_utf8_lossy(&self.text).into_owned());
                }
                self.text.clear();
                Ok(())
            }
        }
    }

    fn begin(&mut self, store: &Store, head: Head) -> Result<(), Fault> {
        let name = head.name.as_str();
        let is_there = match name {
            "file" => self.file.is_some(),
            "purpose" => self.purpose.is_some(),
            _ => {
                let code = match name.starts_with("expires_after") {
                    true => "unsupported_parameter",
                    false => "unknown_parameter",
                };
                let quoted = quoted(&name.into());
                let message = format!("{} is not known; leave it out", quoted.trim_matches('"'));
                return Err(Fault::at(code, name, message));
            }
        };
        if is_there {
            return Err(Fault::at("invalid_value", name, format!("{name} is there twice")));
        }
        if name == "file" {
            // Browsers of old send the whole path.
            let path = head.filename.clone().unwrap_or_else(|| "file".into());
            let filename = path.rsplit(['/', '\\']).next().unwrap_or_default();
            let shown = |c: char| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c };
            let filename = filename.chars().map(shown).take(MOST_NAME_CHARS).collect();
            self.file = Some((filename, store.begin_upload().map_err(fault_of)?));
        }
        self.current = Some(head);
        Ok(())
    }
}

/// `GET /v1/files`.
pub(super) async fn list(State(shared): App, RawQuery(query): RawQuery) -> Reply {
    let store = shared.store()?;
    let mut query = Query::of(query.as_deref());
    let paging = Paging::of(&mut query, 10_000, 10_000)?;
    let purpose = query.take("purpose");
    query.finish()?;
    let is_wanted =
        move |file: &FileRecord| purpose.as_ref().is_none_or(|name| file.purpose.name() == name);
    let list = blocking(move || {
        let parse = |name: &str| Id::parse(Kind::File, name);
        Ok(paging.list(parse, |file: &FileRecord| &file.id, |part| store.files(part, is_wanted))?)
    });
    Ok(json(&list.await?))
}

/// `GET /v1/files/{id}`.
pub(super) async fn file(State(shared): App, Name(id): Name) -> Reply {
    Ok(json(&shared.store()?.file(&id).map_err(fault_of)?))
}

/// `DELETE /v1/files/{id}`.
pub(super) async fn delete(State(shared): App, Name(id): Name) -> Reply {
    let store = shared.store()?;
    let id = blocking(move || Ok(store.delete_file(&id).map_err(fault_of)?)).await?;
    Ok(json(&json!({ "id": id, "object": "file", "deleted": true })))
}

/// `GET /v1/files/{id}/content`.
pub(super) async fn content(State(shared): App, Name(id): Name) -> Reply {
    let store = shared.store()?;
    let content = blocking(move || {
        let record = store.file(&id).map_err(fault_of)?;
        let file = store.open_file(&record.id).map_err(fault_of)?;
        Ok(Content::new(file, record.bytes))
    });
    Ok(of_type("application/octet-stream", Body::new(content.await?)))
}
