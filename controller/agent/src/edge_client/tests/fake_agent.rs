//! A workload socket for one module.

use std::sync::{Arc, Mutex};

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use hemline_protocol::{
    sas::SymmetricKey,
    workload::{SignRequest, SignResponse, TrustBundle, WorkloadError},
};
use http_body_util::{BodyExt, Full};
use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tempfile::TempDir;
use tokio::{net::UnixListener, task::JoinHandle};

pub(crate) struct FakeAgent {
    pub(crate) key: SymmetricKey,
    folder: TempDir,
    seen: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl FakeAgent {
    pub(crate) fn new(trust: String) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let key = SymmetricKey::from_bytes(vec![5; 32]).unwrap();
        let listener = UnixListener::bind(folder.path().join("a.sock")).unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let task = tokio::spawn(serve(listener, key.clone(), trust, Arc::clone(&seen)));
        Self { key, folder, seen, task }
    }

    pub(crate) fn socket(&self) -> String {
        self.folder.path().join("a.sock").display().to_string()
    }

    /// Method and target of every call.
    pub(crate) fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }
}

impl Drop for FakeAgent {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(listener: UnixListener, key: SymmetricKey, trust: String, seen: Arc<Mutex<Vec<String>>>) {
    while let Ok((stream, _)) = listener.accept().await {
        let service = service_fn(|request: Request<Incoming>| {
            seen.lock().unwrap().push(format!("{} {}", request.method(), request.uri()));
            answer(request, &key, &trust)
        });
        http1::Builder::new().serve_connection(TokioIo::new(stream), service).await.unwrap();
    }
}

async fn answer(
    request: Request<Incoming>,
    key: &SymmetricKey,
    trust: &str,
) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let (status, body) = match request.uri().path() {
        "/trust-bundle" => (200, serde_json::to_vec(&TrustBundle { certificate: trust.to_owned() })),
        "/modules/filter/genid/638/sign" => {
            let body = request.into_body().collect().await?.to_bytes();
            let wanted: SignRequest = serde_json::from_slice(&body).unwrap();
            let digest = STANDARD.encode(key.sign(&STANDARD.decode(wanted.data).unwrap()));
            (200, serde_json::to_vec(&SignResponse { digest }))
        }
        _ => (404, serde_json::to_vec(&WorkloadError { message: "no such module".to_owned() })),
    };
    Ok(Response::builder().status(status).body(Full::new(body.unwrap().into())).unwrap())
}
