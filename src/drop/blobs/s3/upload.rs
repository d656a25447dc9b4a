//! The way into the bucket: one request for a small file, parts for a larger one.

use std::{
    io::{
        self,
        ErrorKind::{NotConnected, TimedOut},
    },
    mem,
    sync::Arc,
};

use bytes::Bytes;
use object_store::{
    MultipartId, ObjectStoreExt as _, PutPayload,
    multipart::{MultipartStore as _, PartId},
    path::Path as Name,
};
use tokio::{task::JoinHandle, time::timeout};

use super::{
    super::{Draft, Finished, Result},
    bucket::Bucket,
};

/// Size of a part: the smallest that S3 allows, since a draft holds two of them in memory. One is being
/// filled while the one before it is on its way.
const PART_BYTES: usize = 5 << 20;
/// Maximum number of parts, by the rules of S3: 48 GiB.
const PARTS_MAX: usize = 10_000;

/// A file on its way. Dropping it leaves nothing behind.
#[derive(Debug)]
pub(super) struct Upload {
    object: Object,
    part: Vec<Bytes>,
    part_bytes: usize,
    parts: Option<Parts>,
}

/// An upload in parts.
#[derive(Debug)]
struct Parts {
    id: MultipartId,
    arrived: Vec<PartId>,
    /// The part that is on its way.
    sending: Option<JoinHandle<object_store::Result<PartId>>>,
}

/// An object that is deleted when it is dropped, unless it is kept.
#[derive(Debug)]
struct Object {
    bucket: Arc<Bucket>,
    name: Name,
    /// True if the service may have it.
    may_exist: bool,
}

impl Upload {
    pub(super) fn new(bucket: Arc<Bucket>, name: Name) -> Self {
        Self {
            object: Object {
                bucket,
                name,
                may_exist: false,
            },
            part: Vec::new(),
            part_bytes: 0,
            parts: None,
        }
    }

    fn take_part(&mut self) -> PutPayload {
        self.part_bytes = 0;
        mem::take(&mut self.part).into_iter().collect()
    }

    /// Sends the part that is full, once the one before it has arrived.
    fn send_part(&mut self) -> io::Result<()> {
        let payload = self.take_part();
        let Object { bucket, name, .. } = &self.object;
        if self.parts.is_none() {
            let id = bucket.wait(bucket.objects.create_multipart(name))?;
            self.parts = Some(Parts::new(id));
        }

        let parts = self.parts.as_mut().expect("they were begun");
        parts.arrive(bucket)?;
        let number = parts.arrived.len();
        if number == PARTS_MAX {
            let limit = "a file of more than 10,000 parts of 5 MiB";
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, limit));
        }

        let (objects, name, id) = (bucket.objects.clone(), name.clone(), parts.id.clone());
        let send = async move { objects.put_part(&name, &id, number, payload).await };
        parts.sending = Some(bucket.threads().spawn(send));
        Ok(())
    }

    fn put(&mut self) -> io::Result<()> {
        let payload = self.take_part();
        self.object.may_exist = true;
        let Object { bucket, name, .. } = &self.object;
        bucket.wait(bucket.objects.put(name, payload)).map(drop)
    }

    fn complete(&mut self) -> io::Result<()> {
        self.send_part()?;
        let Object {
            bucket,
            name,
            may_exist,
        } = &mut self.object;
        let parts = self.parts.as_mut().expect("the last one was sent");
        parts.arrive(bucket)?;

        *may_exist = true;
        let arrived = mem::take(&mut parts.arrived);
        let complete = bucket.objects.complete_multipart(name, &parts.id, arrived);
        bucket.wait(complete)?;
        self.parts = None;
        Ok(())
    }

    /// Names the object in a failure. A service that is away is not asked to take anything back: that would
    /// hold up the message once more, and the sweep does it.
    fn judge(&mut self, done: io::Result<()>) -> Result<()> {
        let is_away = |error: &io::Error| matches!(error.kind(), TimedOut | NotConnected);
        if done.as_ref().is_err_and(is_away) {
            self.parts = None;
            self.object.may_exist = false;
        }
        self.object.bucket.named("upload", &self.object.name, done)
    }
}

impl Parts {
    fn new(id: MultipartId) -> Self {
        Self {
            id,
            arrived: Vec::new(),
            sending: None,
        }
    }

    /// Waits until the part that is on its way has arrived.
    fn arrive(&mut self, bucket: &Bucket) -> io::Result<()> {
        let Some(sending) = self.sending.take() else {
            return Ok(());
        };
        let sent = bucket
            .threads()
            .block_on(sending)
            .map_err(io::Error::other)?;
        let part = sent.map_err(|error| bucket.failure(&error))?;
        self.arrived.push(part);
        Ok(())
    }
}

impl Draft for Upload {
    /// A full part is sent when more comes: a file that fits into one needs no parts.
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        if self.part_bytes >= PART_BYTES {
            let sent = self.send_part();
            self.judge(sent)?;
        }
        self.part.push(Bytes::copy_from_slice(bytes));
        self.part_bytes += bytes.len();
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<Box<dyn Finished>> {
        let uploaded = match self.parts {
            Some(_) => self.complete(),
            None => self.put(),
        };
        self.judge(uploaded)?;
        Ok(Box::new(self.object.take()))
    }
}

impl Drop for Upload {
    /// Takes back what the service has of it. What cannot be taken back now is swept.
    fn drop(&mut self) {
        let Some(parts) = self.parts.take() else {
            return;
        };
        let Object { bucket, name, .. } = &self.object;
        bucket.threads().block_on(async {
            if let Some(sending) = parts.sending {
                sending.abort();
                let _ = sending.await;
            }
            let abort = bucket.objects.abort_multipart(name, &parts.id);
            let _ = timeout(bucket.patience, abort).await;
        });
    }
}

impl Object {
    /// Returns the object, and leaves none in its place.
    fn take(&mut self) -> Self {
        Self {
            bucket: Arc::clone(&self.bucket),
            name: self.name.clone(),
            may_exist: mem::take(&mut self.may_exist),
        }
    }
}

impl Finished for Object {
    /// It has its name already, and keeps it.
    fn place(mut self: Box<Self>) -> Result<()> {
        self.may_exist = false;
        Ok(())
    }
}

impl Drop for Object {
    fn drop(&mut self) {
        if self.may_exist {
            let Self { bucket, name, .. } = self;
            bucket.threads().block_on(async {
                let _ = timeout(bucket.patience, bucket.objects.delete(name)).await;
            });
        }
    }
}
