//! Uploads over real sockets: begin, put, notify; what is refused; what outlives a kill; a disk without room.

use std::{fs, path::Path, sync::Arc};

use hemline_hub::HubConfig;
use hemline_hub_core::service::ServiceRequest;
use hemline_testkit::{Disk, within};
use serde_json::{Value, json};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

use super::world::{Answer, Rest, SOON, World, client_resource, token};

const VERSION: &str = "api-version=2019-10-01";

/// A device with its key.
struct Device {
    rest: Rest,
    /// Without a token: the credential stands in the URL.
    blobs: Rest,
    id: String,
}

struct Begun {
    correlation: String,
    path: String,
    sas: String,
}

impl Device {
    async fn new(world: &World, id: &str) -> Self {
        let key = world.device(id, false).await;
        Self::with(world, id, &key)
    }

    fn with(world: &World, id: &str, key: &str) -> Self {
        let rest = world.rest_with(token(&client_resource(id), key, None));
        Self { rest, blobs: world.rest_with(String::new()), id: id.to_owned() }
    }

    async fn ask(&self, name: &str) -> Answer {
        let path = format!("/devices/{}/files/?{VERSION}", self.id);
        self.rest.send("POST", &path, &[], Some(json!({"blobName": name}))).await
    }

    async fn begin(&self, name: &str) -> Begun {
        let answer = self.ask(name).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        let told = answer.json();
        let text = |name: &str| told[name].as_str().unwrap().to_owned();
        assert!(text("hostName").starts_with("127.0.0.1:"), "the name that the device came by: {told}");
        assert_eq!(
            (text("containerName"), text("blobName")),
            ("files".into(), format!("{}/{name}", self.id))
        );
        let path = format!("/files/{}/{}", self.id, name.replace(' ', "%20"));
        Begun { correlation: text("correlationId"), path, sas: text("sasToken") }
    }

    async fn put(&self, begun: &Begun, query: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let path = format!("{}{}{query}", begun.path, begun.sas);
        self.blobs.send_text("PUT", &path, headers, Some(body.to_owned())).await
    }

    async fn block(&self, begun: &Begun, id: &str, body: &str) -> Answer {
        self.put(begun, &format!("&comp=block&blockid={id}"), &[], body).await
    }

    async fn list(&self, begun: &Begun, ids: &[&str]) -> Answer {
        let ids: String = ids.iter().map(|id| format!("<Latest>{id}</Latest>")).collect();
        let body = format!("<?xml version=\"1.0\"?><BlockList>{ids}</BlockList>");
        self.put(begun, "&comp=blocklist", &[("x-ms-blob-content-type", "text/plain")], &body).await
    }

    async fn whole(&self, begun: &Begun, headers: &[(&str, &str)], body: &str) -> Answer {
        self.put(begun, "", &[&[("x-ms-blob-type", "BlockBlob")], headers].concat(), body).await
    }

    /// In the spelling of Python and C#.
    async fn notify(&self, correlation: &str, success: bool) -> Answer {
        let path = format!("/devices/{}/files/notifications?{VERSION}", self.id);
        let body = json!({"correlationId": correlation, "isSuccess": success, "statusCode": 200, "statusDescription": "x"});
        self.rest.send("POST", &path, &[], Some(body)).await
    }
}

fn code(answer: &Answer) -> (u16, &str) {
    let name = answer.all_headers.get("x-ms-error-code").or(answer.all_headers.get("iothub-errorcode"));
    (answer.status, name.map_or("", String::as_str))
}

async fn notices(service: &Rest) -> Vec<Value> {
    let mut told = Vec::new();
    loop {
        let answer = service.get("/messages/serviceBound/fileNotifications").await;
        if answer.status == 204 {
            return told;
        }
        assert_eq!(answer.status, 200, "{}", answer.body);
        let lock = answer.header("etag").unwrap().trim_matches('"').to_owned();
        let path = format!("/messages/servicebound/filenotifications/{lock}?{VERSION}");
        assert_eq!(service.send("DELETE", &path, &[], None).await.status, 204);
        told.push(answer.json());
    }
}

/// Names of everything that lies in a folder, at any depth.
fn lies_in(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(lies_in(&path));
        } else {
            found.push(path.file_name().unwrap().to_string_lossy().into_owned());
        }
    }
    found.sort();
    found
}

#[tokio::test]
async fn a_file_of_blocks_becomes_visible_at_once() {
    let world = World::new().await;
    let service = world.rest("service").await;
    let device = Device::new(&world, "d").await;
    let begun = device.begin("logs/boot 1.txt").await;
    assert!(begun.sas.starts_with("?sv="));
    for (id, body) in [("MDAx", "world"), ("MDAw", "hello "), ("MDAz", "left out")] {
        let answer = device.block(&begun, id, body).await;
        assert_eq!(answer.status, 201, "{}", answer.body);
    }
    let url = begun.path.clone();
    assert_eq!(code(&service.send("GET", &url, &[], None).await), (404, "BlobNotFound"), "not yet");
    let answer = device.list(&begun, &["MDAw", "MDAx"]).await;
    assert_eq!(answer.status, 201, "{}", answer.body);
    let etag = answer.header("etag").unwrap().to_owned();
    assert!(etag.starts_with("\"0x"), "{etag}");
    for name in ["last-modified", "x-ms-request-id", "x-ms-version", "date"] {
        assert!(answer.all_headers.contains_key(name), "{name}: {:?}", answer.all_headers);
    }
    let got = service.send("GET", &url, &[], None).await;
    assert_eq!(
        (got.status, got.body.as_str(), got.header("content-type")),
        (200, "hello world", Some("text/plain"))
    );
    let part =
        device.blobs.send("GET", &format!("{url}{}", begun.sas), &[("range", "bytes=4-7")], None).await;
    assert_eq!((part.status, part.body.as_str()), (206, "o wo"));
    assert_eq!(part.all_headers["content-range"], "bytes 4-7/11");
    let head = device.blobs.send("HEAD", &format!("{url}{}", begun.sas), &[], None).await;
    assert_eq!((head.status, head.all_headers["content-length"].as_str()), (200, "11"));
    assert_eq!(head.header("etag"), Some(etag.as_str()));

    assert_eq!(notices(&service).await, Vec::<Value>::new());
    assert_eq!(device.notify(&begun.correlation, true).await.status, 204);
    let told = notices(&service).await;
    let [notice] = told.as_slice() else { panic!("{told:?}") };
    assert_eq!((&notice["deviceId"], &notice["blobSizeInBytes"]), (&json!("d"), &json!(11)));
    assert_eq!(notice["blobName"], "d/logs/boot 1.txt");
    assert!(notice["blobUri"].as_str().unwrap().ends_with("/files/d/logs/boot%201.txt"), "{notice}");
    assert_eq!(notices(&service).await, Vec::<Value>::new(), "settled");

    // It is over: the credential is dead, and saying so again is about nothing.
    assert_eq!(code(&device.block(&begun, "MDAw", "x").await), (403, "AuthenticationFailed"));
    assert_eq!(code(&device.notify(&begun.correlation, true).await), (404, "FileUploadNotFound"));
    assert_eq!(service.send("GET", &url, &[], None).await.body, "hello world");
    assert_eq!(service.send("DELETE", &url, &[], None).await.status, 202);
    assert_eq!(code(&service.send("DELETE", &url, &[], None).await), (404, "BlobNotFound"));
    assert_eq!(lies_in(&world.path().join("files")), [""; 0]);
    world.stop().await;
}

#[tokio::test]
async fn three_ways_to_say_that_it_is_done() {
    let world = World::new().await;
    let service = world.rest("service").await;
    let device = Device::new(&world, "d").await;
    for (name, tail, named) in [
        ("python", "/notifications".to_owned(), true),
        ("c", "/notifications/".to_owned(), true),
        ("node", "/notifications/{}".to_owned(), false),
        ("csharp", "/Notifications/{}".to_owned(), true),
    ] {
        let begun = device.begin(name).await;
        assert_eq!(device.whole(&begun, &[], name).await.status, 201);
        let path = format!("/devices/d/files{}?{VERSION}", tail.replace("{}", &begun.correlation));
        let mut body = json!({"isSuccess": true, "statusCode": 200, "statusDescription": "ok"});
        if named {
            body["correlationId"] = begun.correlation.clone().into();
        }
        let answer = device.rest.send("POST", &path, &[], Some(body)).await;
        assert_eq!((answer.status, answer.body.as_str()), (204, ""), "{name}");
    }
    assert_eq!(notices(&service).await.len(), 4);
    // A failure ends it too, and nobody is told; so does a success without a file, which tests of SDKs do.
    for (name, success) in [("failed", false), ("empty", true)] {
        let begun = device.begin(name).await;
        assert_eq!(device.block(&begun, "MDAw", "x").await.status, 201);
        assert_eq!(device.notify(&begun.correlation, success).await.status, 204);
    }
    assert_eq!(notices(&service).await, Vec::<Value>::new());
    world.stop().await;
}

#[tokio::test]
async fn who_may_not() {
    let world = World::new().await;
    let (device, other) = (Device::new(&world, "d").await, Device::new(&world, "e").await);
    let begun = device.begin("a").await;
    assert_eq!(device.whole(&begun, &[], "mine").await.status, 201);
    // Another device, its key, its correlation id, no key.
    let stranger = Device {
        rest: world.rest_with(String::new()),
        blobs: world.rest_with(String::new()),
        id: "d".into(),
    };
    assert_eq!(stranger.ask("a").await.status, 401);
    let thief = Device { rest: world.rest_with(other.rest.authorization.clone()), ..stranger };
    assert_eq!(thief.ask("a").await.status, 401);
    assert_eq!(code(&other.notify(&begun.correlation, true).await), (404, "FileUploadNotFound"));
    let elsewhere = Begun { path: "/files/e/a".into(), sas: begun.sas.clone(), correlation: String::new() };
    assert_eq!(code(&device.whole(&elsewhere, &[], "x").await), (403, "AuthenticationFailed"));
    for sas in ["", "?sv=1", &begun.sas.replace("sig=", "sig=AAAA")] {
        let forged = Begun { path: begun.path.clone(), sas: sas.to_owned(), correlation: String::new() };
        let query = if sas.is_empty() { "?x=1" } else { "" };
        let answer = device.put(&forged, query, &[("x-ms-blob-type", "BlockBlob")], "x").await;
        assert_eq!(code(&answer), (403, "AuthenticationFailed"), "{sas}");
        assert!(answer.body.starts_with("<?xml"), "{}", answer.body);
    }
    // The service reads and removes; it puts nothing. A device removes nothing.
    let service = world.rest("service").await;
    let answer =
        service.send_text("PUT", &begun.path, &[("x-ms-blob-type", "BlockBlob")], Some("x".into())).await;
    assert_eq!(code(&answer), (403, "AuthorizationPermissionMismatch"));
    let registry = world.rest("registryRead").await;
    assert_eq!(registry.send("GET", &begun.path, &[], None).await.status, 403);
    let path = format!("{}{}", begun.path, begun.sas);
    assert_eq!(device.blobs.send("DELETE", &path, &[], None).await.status, 403);
    assert_eq!(code(&device.blobs.send("POST", &path, &[], None).await), (405, "UnsupportedHttpVerb"));
    for name in ["", "../e/a", "a//b", "a\\b", &"x".repeat(1025)] {
        assert_eq!(code(&device.ask(name).await), (400, "ArgumentInvalid"), "{name}");
    }
    // A device that is disabled or gone.
    world
        .handle
        .call(ServiceRequest::DeleteIdentity {
            client: "d".parse().unwrap(),
            if_match: hemline_hub_core::service::IfMatch::Any,
        })
        .await
        .unwrap();
    assert_ne!(device.ask("a").await.status, 200);
    assert_eq!(service.send("GET", &begun.path, &[], None).await.body, "mine", "its files stay");
    world.stop().await;
}

#[tokio::test]
async fn conditions_checksums_and_lengths() {
    let world = World::new().await;
    let device = Device::new(&world, "d").await;
    let begun = device.begin("a").await;
    let fresh = [("if-none-match", "*")];
    // MD5 of "one".
    let good = [("content-md5", "+XxdKZQb+xsv2rCHSQargg=="), ("x-ms-client-request-id", "mine")];
    let bad = [("content-md5", "AAAAAAAAAAAAAAAAAAAAAA==")];
    assert_eq!(code(&device.whole(&begun, &bad, "one").await), (400, "Md5Mismatch"));
    assert_eq!(lies_in(&world.path().join("files/data")), [""; 0], "nothing of it stays");
    let answer = device.whole(&begun, &[&good[..], &fresh].concat(), "one").await;
    assert_eq!(answer.status, 201, "{}", answer.body);
    assert_eq!(answer.all_headers["x-ms-client-request-id"], "mine");
    let etag = answer.header("etag").unwrap().to_owned();
    assert_eq!(code(&device.whole(&begun, &fresh, "two").await), (409, "BlobAlreadyExists"));
    assert_eq!(
        code(&device.whole(&begun, &[("if-match", "\"0x1\"")], "two").await),
        (412, "ConditionNotMet")
    );
    let answer = device.whole(&begun, &[("if-match", &etag)], "two").await;
    assert_eq!(answer.status, 201);
    assert_ne!(answer.header("etag"), Some(etag.as_str()));
    assert_eq!(device.whole(&begun, &[], "").await.status, 201, "an empty file is a file");
    let path = format!("{}{}&comp=block&blockid=MDAw", begun.path, begun.sas);
    let answer = device.blobs.send("PUT", &path, &[], None).await;
    assert_eq!(answer.status, 201, "a block of nothing");
    for (query, headers, body, expected) in [
        ("&comp=block&blockid=%3F%3F", &[][..], "x", (400, "InvalidQueryParameterValue")),
        ("&comp=blocklist", &[], "<html>", (400, "InvalidXmlDocument")),
        ("&comp=blocklist", &[], "<BlockList><Latest>MDA5</Latest></BlockList>", (400, "InvalidBlockList")),
        ("&comp=appendblock", &[], "x", (400, "InvalidQueryParameterValue")),
        ("", &[("x-ms-blob-type", "PageBlob")], "x", (400, "InvalidHeaderValue")),
        ("", &[], "x", (400, "MissingRequiredHeader")),
    ] {
        assert_eq!(code(&device.put(&begun, query, headers, body).await), expected, "{query}");
    }
    world.stop().await;
}

#[tokio::test]
async fn quotas() {
    let bounds = |config: &mut HubConfig| {
        config.files.uploads = 2;
        config.files.file_bytes = 300 << 10;
        config.files.device_bytes = 400 << 10;
    };
    let world = World::start(Arc::new(tempfile::tempdir().unwrap()), bounds, None).await;
    let device = Device::new(&world, "d").await;
    let (first, second) = (device.begin("a").await, device.begin("b").await);
    assert_eq!(code(&device.ask("c").await), (403, "DeviceMaximumActiveFileUploadLimitExceeded"));
    let large = "x".repeat(200 << 10);
    assert_eq!(device.whole(&first, &[], &large).await.status, 201);
    assert_eq!(code(&device.whole(&second, &[], &large).await), (403, "DeviceQuotaExceeded"));
    assert_eq!(code(&device.whole(&second, &[], &"x".repeat(301 << 10)).await), (413, "RequestBodyTooLarge"));
    assert_eq!(device.notify(&second.correlation, false).await.status, 204);
    let service = world.rest("service").await;
    assert_eq!(service.send("DELETE", &first.path, &[], None).await.status, 202);
    let second = device.begin("b").await;
    assert_eq!(device.whole(&second, &[], &large).await.status, 201, "there is room again");
    world.stop().await;
}

#[tokio::test]
async fn a_disk_without_room_refuses_and_keeps_what_there_is() {
    let world = World::new().await;
    let key = world.device("d", false).await;
    let device = Device::with(&world, "d", &key);
    let begun = device.begin("a").await;
    assert_eq!(device.whole(&begun, &[], "kept").await.status, 201);
    let folder = world.stop().await;
    // As much is to stay free as no disk has.
    let full = |config: &mut HubConfig| config.files.spare_bytes = u64::MAX / 2;
    let world = World::start(folder, full, None).await;
    let device = Device::with(&world, "d", &key);
    assert_eq!(code(&device.block(&begun, "MDAw", "x").await), (507, "InsufficientStorage"));
    assert_eq!(code(&device.whole(&begun, &[], "lost").await), (507, "InsufficientStorage"));
    let service = world.rest("service").await;
    assert_eq!(service.send("GET", &begun.path, &[], None).await.body, "kept");
    assert_eq!(lies_in(&world.path().join("files/data")).len(), 1);
    let folder = world.stop().await;
    let world = World::on(folder).await;
    let device = Device::with(&world, "d", &key);
    assert_eq!(device.whole(&begun, &[], "new").await.status, 201, "the same credential, when there is room");
    world.stop().await;
}

#[tokio::test]
async fn a_disk_that_fills_in_the_middle_of_an_upload() {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    // Only the files; what the hub itself keeps has room.
    let disk = Disk::mount(&folder.path().join("files"), "4m");
    if !hemline_testkit::require("the right to mount", disk.is_some(), "run it as root") {
        return;
    }
    let disk = disk.unwrap();
    let world = World::start(folder.clone(), |config| config.files.spare_bytes = 0, None).await;
    let key = world.device("d", false).await;
    let device = Device::with(&world, "d", &key);
    let (kept, cut) = (device.begin("kept").await, device.begin("cut").await);
    assert_eq!(device.whole(&kept, &[], "kept").await.status, 201);
    let lying = lies_in(&disk.path().join("data"));

    // There is room when it begins, and none any more when its second half comes.
    let half = "x".repeat(1 << 20);
    let path = format!("{}{}&comp=block&blockid=MDAw", cut.path, cut.sas);
    let head =
        format!("PUT {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {}\r\n\r\n", 2 * half.len());
    let stream = TcpStream::connect(world.hub.https_addr()[0]).await.unwrap();
    let connector = TlsConnector::from(Arc::new(world.tls()));
    let mut stream = connector.connect("127.0.0.1".try_into().unwrap(), stream).await.unwrap();
    stream.write_all((head + &half).as_bytes()).await.unwrap();
    stream.flush().await.unwrap();
    hemline_testkit::eventually(SOON, "the first half on the disk", || async {
        let parts = fs::read_dir(disk.path().join("data")).unwrap().flatten();
        let parts = parts.flat_map(|folder| fs::read_dir(folder.path()).unwrap().flatten());
        let found = parts.filter(|part| part.path().extension().is_some_and(|end| end == "part"));
        found.map(|part| part.metadata().unwrap().len()).any(|size| size > 0).then_some(())
    })
    .await;
    let filler = disk.fill("filler").unwrap();
    stream.write_all(half.as_bytes()).await.unwrap();
    stream.flush().await.unwrap();
    let mut answer = [0; 12];
    within(SOON, "an answer", stream.read_exact(&mut answer)).await.unwrap();
    assert_eq!(std::str::from_utf8(&answer), Ok("HTTP/1.1 507"));

    // The half is gone, the hub goes on, and so does the upload when there is room.
    assert_eq!(lies_in(&disk.path().join("data")), lying);
    let mut witness = world.connect("d", &key).in_now().await;
    witness.publish("devices/d/messages/events/", "x").await;
    fs::remove_file(filler).unwrap();
    assert_eq!(device.block(&cut, "MDAw", &half).await.status, 201);
    assert_eq!(device.list(&cut, &["MDAw"]).await.status, 201);
    let service = world.rest("service").await;
    assert_eq!(service.send("GET", &kept.path, &[], None).await.body, "kept");
    assert_eq!(service.send("GET", &cut.path, &[], None).await.body.len(), half.len());
    world.stop().await;
}

#[tokio::test]
async fn what_a_kill_leaves_behind() {
    let world = World::new().await;
    let key = world.device("d", false).await;
    let device = Device::with(&world, "d", &key);
    let begun = device.begin("a").await;
    for (id, body) in [("MDAw", "one "), ("MDAx", "two")] {
        assert_eq!(device.block(&begun, id, body).await.status, 201);
    }
    let old = device.begin("old").await;
    assert_eq!(device.whole(&old, &[], "old").await.status, 201);
    let folder = world.stop().await;
    let files = folder.path().join("files");
    let of = |begun: &Begun| files.join("data").join(&begun.correlation);
    // Half a block, half a record, a segment of an upload that is over, one of nobody, and a block put twice.
    fs::write(of(&begun).join("7-30.part"), "half").unwrap();
    fs::write(files.join("blobs/x.json.part"), "half").unwrap();
    fs::create_dir(files.join("data").join("0".repeat(32))).unwrap();
    fs::write(files.join("data").join("0".repeat(32)).join("0-whole"), "nobody's").unwrap();
    fs::write(of(&old).join("9-whole"), "never became a file").unwrap();
    fs::write(of(&begun).join("9-303030"), "new ").unwrap();
    fs::write(files.join("uploads/damaged.json"), "{").unwrap();
    let world = World::on(folder).await;
    let device = Device::with(&world, "d", &key);
    assert_eq!(lies_in(&files.join("data")), ["0-whole", "1-303031", "9-303030"]);
    assert!(!files.join("data").join("0".repeat(32)).exists());
    assert_eq!(device.list(&begun, &["MDAw", "MDAx"]).await.status, 201);
    let service = world.rest("service").await;
    assert_eq!(service.send("GET", &begun.path, &[], None).await.body, "new two");
    assert_eq!(service.send("GET", &old.path, &[], None).await.body, "old");
    assert_eq!(device.notify(&begun.correlation, true).await.status, 204);
    // Told before the next start, and after it.
    let folder = world.stop().await;
    let world = World::on(folder).await;
    assert_eq!(notices(&world.rest("service").await).await.len(), 1);
    world.stop().await;
}

#[tokio::test]
async fn a_large_file_passes_through() {
    let world = World::new().await;
    let device = Device::new(&world, "d").await;
    let begun = device.begin("large").await;
    let piece = |number: usize| format!("{number:07}\n").repeat(1 << 19);
    let ids = ["MDAw", "MDAx", "MDAy", "MDAz"];
    // All at once, as SDKs do.
    let blocks = ids.iter().enumerate().map(|(number, id)| {
        let (device, begun) = (&device, &begun);
        async move { device.block(begun, id, &piece(number)).await.status }
    });
    assert_eq!(futures_util::future::join_all(blocks).await, [201; 4]);
    assert_eq!(device.list(&begun, &ids).await.status, 201);
    let got = world.rest("service").await.send("GET", &begun.path, &[], None).await;
    let expected: String = (0..4).map(piece).collect();
    assert_eq!(got.body.len(), 16 << 20);
    assert!(got.body == expected, "in order");
    world.stop().await;
}
