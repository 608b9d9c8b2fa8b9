// SPDX-License-Identifier: GPL-3.0-or-later

//! rustls for tests/system/test_stacks.py.
//!
//!     stack server CERT KEY CA            echo; prints its port, and for each connection whether it was resumed
//!     stack client CERT KEY CA PORT SIZE  SIZE bytes there and back, with new keys on the way, half-closed, then again; the same

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{pem::PemObject, CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, HandshakeKind, RootCertStore, ServerConfig};
use rustls::{Connection, ServerConnection, SignatureScheme};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::{env, sync::Arc, thread};

/// An SVID has no name that a TLS client would look for: any certificate whose key is there.
#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(&self, _: &CertificateDer<'_>, _: &[CertificateDer<'_>], _: &ServerName<'_>, _: &[u8],
                          _: UnixTime) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }
    fn verify_tls12_signature(&self, m: &[u8], c: &CertificateDer<'_>, d: &DigitallySignedStruct)
                              -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(m, c, d, &ring::default_provider().signature_verification_algorithms)
    }
    fn verify_tls13_signature(&self, m: &[u8], c: &CertificateDer<'_>, d: &DigitallySignedStruct)
                              -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(m, c, d, &ring::default_provider().signature_verification_algorithms)
    }
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        ring::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

fn told(connection: &Connection) {
    println!("resumed {}", connection.handshake_kind() == Some(HandshakeKind::Resumed));
}

/// Reads until close_notify; each piece goes to `take`, which may write an answer.
fn pump(tls: &mut Connection, socket: &mut TcpStream, take: &mut dyn FnMut(&mut Connection, &[u8]))
        -> std::io::Result<()> {
    let mut buffer = vec![0; 65536];
    loop {
        while tls.wants_write() {
            tls.write_tls(socket)?;
        }
        if tls.read_tls(socket)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        let state = tls.process_new_packets().map_err(std::io::Error::other)?;
        while let Ok(n) = tls.reader().read(&mut buffer) {
            if n == 0 {
                break;
            }
            take(tls, &buffer[..n]);
            while tls.wants_write() {
                tls.write_tls(socket)?;
            }
        }
        if state.peer_has_closed() {
            return Ok(());
        }
    }
}

fn finish(tls: &mut Connection, socket: &mut TcpStream) -> std::io::Result<()> {
    tls.send_close_notify();
    while tls.wants_write() {
        tls.write_tls(socket)?;
    }
    Ok(())
}

fn serve(config: Arc<ServerConfig>, mut socket: TcpStream) -> std::io::Result<()> {
    let mut tls = Connection::Server(ServerConnection::new(config).unwrap());
    tls.set_buffer_limit(None);
    pump(&mut tls, &mut socket, &mut |tls, data| tls.writer().write_all(data).unwrap())?;
    told(&tls);
    finish(&mut tls, &mut socket)
}

fn ask(config: &Arc<ClientConfig>, port: &str, size: usize) -> std::io::Result<()> {
    let sent: Vec<u8> = (0..size).map(|i| (i * 31 + i / 977) as u8).collect();
    let mut socket = TcpStream::connect(format!("127.0.0.1:{port}"))?;
    let client = ClientConnection::new(config.clone(), ServerName::try_from("peer").unwrap()).unwrap();
    let mut tls = Connection::Client(client);
    tls.set_buffer_limit(None);
    tls.complete_io(&mut socket)?;
    let mut writer = socket.try_clone()?;
    let mut got = Vec::new();
    // What is on its way in both directions fits into no buffer, so pieces.
    for piece in sent.chunks(1 << 16) {
        tls.writer().write_all(piece)?;
        while tls.wants_write() {
            tls.write_tls(&mut writer)?;
        }
        if got.is_empty() {
            tls.refresh_traffic_keys().map_err(std::io::Error::other)?;
        }
        let wanted = got.len() + piece.len();
        let mut buffer = vec![0; 65536];
        while got.len() < wanted {
            tls.read_tls(&mut socket)?;
            tls.process_new_packets().map_err(std::io::Error::other)?;
            while let Ok(n) = tls.reader().read(&mut buffer) {
                got.extend_from_slice(&buffer[..n]);
            }
        }
    }
    finish(&mut tls, &mut socket)?;
    pump(&mut tls, &mut socket, &mut |_, data| got.extend_from_slice(data))?;
    assert!(got == sent, "{} bytes came back, not the {} that were sent", got.len(), sent.len());
    told(&tls);
    Ok(())
}

fn main() {
    let a: Vec<String> = env::args().collect();
    ring::default_provider().install_default().unwrap();
    let certs: Vec<_> = CertificateDer::pem_file_iter(&a[2]).unwrap().map(|c| c.unwrap()).collect();
    let key = PrivateKeyDer::from_pem_file(&a[3]).unwrap();
    if a[1] == "server" {
        let mut roots = RootCertStore::empty();
        for root in CertificateDer::pem_file_iter(&a[4]).unwrap() {
            roots.add(root.unwrap()).unwrap();
        }
        let verifier = WebPkiClientVerifier::builder(Arc::new(roots)).build().unwrap();
        let config = ServerConfig::builder().with_client_cert_verifier(verifier).with_single_cert(certs, key).unwrap();
        let config = Arc::new(config);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        println!("port {}", listener.local_addr().unwrap().port());
        for socket in listener.incoming() {
            let config = config.clone();
            thread::spawn(move || serve(config, socket.unwrap()).unwrap_or_else(|e| eprintln!("{e}")));
        }
        return;
    }
    let config = Arc::new(ClientConfig::builder().dangerous().with_custom_certificate_verifier(Arc::new(Anybody))
        .with_client_auth_cert(certs, key).unwrap());
    for _ in 0..2 {
        ask(&config, &a[5], a[6].parse().unwrap()).unwrap();
    }
}
