# SPDX-License-Identifier: GPL-3.0-or-later
"""TLS from outside: peers of another implementation (Python's ssl on OpenSSL 3.0), valid and invalid ones."""
import pathlib
import socket
import ssl
import struct
import tempfile

import lab as labs

# OpenSSL's names of alerts that it received (RFC 8446 section 6).
ALERTS = {
    'UNEXPECTED_MESSAGE': 10, 'BAD_RECORD_MAC': 20, 'HANDSHAKE_FAILURE': 40, 'BAD_CERTIFICATE': 42,
    'CERTIFICATE_REVOKED': 44, 'CERTIFICATE_EXPIRED': 45, 'CERTIFICATE_UNKNOWN': 46, 'ILLEGAL_PARAMETER': 47,
    'UNKNOWN_CA': 48, 'ACCESS_DENIED': 49, 'DECODE_ERROR': 50, 'DECRYPT_ERROR': 51, 'PROTOCOL_VERSION': 70,
    'INTERNAL_ERROR': 80, 'MISSING_EXTENSION': 109, 'CERTIFICATE_REQUIRED': 116, 'NO_APPLICATION_PROTOCOL': 120,
}


def alert_of(error):
    """Returns the number of the alert that ended the connection, or None."""
    reason = getattr(error, 'reason', None) or ''
    return ALERTS.get(reason.rpartition('_ALERT_')[2])


def context(server, svid=None, root=None, *, tls=ssl.TLSVersion.TLSv1_3):
    """Returns the context of a peer that accepts every certificate under root, whatever its content. Without root, it
    accepts any."""
    ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT)
    ctx.set_ciphers('DEFAULT@SECLEVEL=0')
    ctx.check_hostname = False
    ctx.verify_mode = ssl.CERT_REQUIRED if root else ssl.CERT_NONE
    ctx.minimum_version = ctx.maximum_version = tls
    if root:
        ctx.load_verify_locations(cadata=root.cert_pem.decode())
    if svid:
        load(ctx, *(svid if isinstance(svid, tuple) else (svid.chain_pem, svid.key_pem)))
    return ctx


def wrap(ctx, sock, **options):
    """Returns the TLS socket. Without close_notify, thus also after a reset, its recv() raises SSLEOFError; by default it
    would return b'', as after a clean end."""
    return ctx.wrap_socket(sock, suppress_ragged_eofs=False, **options)


def load(ctx, chain, key):
    with tempfile.NamedTemporaryFile() as file:
        file.write(key + b'\n' + chain)
        file.flush()
        ctx.load_cert_chain(file.name)


def client(to, svid=None, root=None, *, source=None, **options):
    """Returns a connected client. The server's verdict comes later, with the first read."""
    sock = labs.connect(to, source=source)
    try:
        return context(False, svid, root, **options).wrap_socket(sock)
    except BaseException:
        sock.close()
        raise


def verdict(to, svid=None, root=None, **options):
    """Sends a byte as a client and waits. Returns the alert's number, 'closed', or the answer."""
    try:
        with client(to, svid, root, **options) as tls:
            tls.sendall(b'x')
            return tls.recv(100) or 'closed'
    except ssl.SSLEOFError:  # Python reports a reset so too
        return 'closed'
    except ssl.SSLError as error:
        return alert_of(error) or str(error)
    except ConnectionError:
        return 'closed'


class Server:
    """An App whose connections speak TLS. alerts holds how handshakes failed, peers the certificates of its clients, and
    truncated how many connections ended without close_notify."""

    def __init__(self, app, svid, root, handler=labs.echo, **options):
        self.context, self.handler = context(True, svid, root, **options), handler
        self.alerts, self.peers, self.received, self.truncated = [], [], [], 0
        self.app = app(self.serve)
        self.port = self.app.port

    def serve(self, sock):
        try:
            with wrap(self.context, sock, server_side=True) as tls:
                # A client is done before the server has seen its certificate.
                self.peers.append((tls.getpeercert(), tls.version(), tls.cipher()))
                self.handler(tls)
        except (ssl.SSLEOFError, ConnectionResetError):
            self.truncated += 1
        except ssl.SSLError as error:
            self.alerts.append(alert_of(error) or str(error))


def client_hello(extra=0):
    """Returns the bytes of a ClientHello of OpenSSL, padded by more than `extra` bytes with a list of protocols."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    ctx = context(False)
    tls = ctx.wrap_bio(incoming, outgoing)
    try:
        tls.do_handshake()
    except ssl.SSLWantReadError:
        pass
    record = outgoing.read()
    return pad_hello(record[5:], extra) if extra else record


def pad_hello(message, extra):
    """Inserts a padding extension (RFC 7685) into a handshake message, and cuts it into records."""
    at = 4 + 2 + 32  # header, version, random
    at += 1 + message[at]  # session id
    at += 2 + struct.unpack('>H', message[at:at + 2])[0]  # ciphers
    at += 1 + message[at]  # compression
    extensions = message[at + 2:] + struct.pack('>HH', 21, extra) + bytes(extra)
    body = message[4:at] + struct.pack('>H', len(extensions)) + extensions
    message = b'\x01' + len(body).to_bytes(3, 'big') + body
    return message


def hello_with_ticket(message, size, count=1):
    """Inserts tickets that our servers do not know into a handshake message (RFC 8446 section 4.2.11), with one
    binder."""
    at = 4 + 2 + 32
    at += 1 + message[at]
    at += 2 + struct.unpack('>H', message[at:at + 2])[0]
    at += 1 + message[at]
    identities = b''.join(struct.pack('>H', size) + i.to_bytes(size, 'little') + bytes(4) for i in range(count))
    ticket = struct.pack('>H', len(identities)) + identities + struct.pack('>HB', 33, 32) + bytes(32)
    extensions = message[at + 2:] + struct.pack('>HH', 41, len(ticket)) + ticket
    body = message[4:at] + struct.pack('>H', len(extensions)) + extensions
    return b'\x01' + len(body).to_bytes(3, 'big') + body


def records(message, size):
    """Splits a handshake message into many records."""
    return b''.join(b'\x16\x03\x01' + struct.pack('>H', len(message[i:i + size])) + message[i:i + size]
                    for i in range(0, len(message), size))


def write_pem(folder, name, svid):
    """Writes name.crt, name.key and name.pem (both, for HAProxy) in folder. Returns the path without suffix."""
    path = pathlib.Path(folder, name)
    svid.write(folder, name)
    pathlib.Path(f'{path}.pem').write_bytes(svid.chain_pem + svid.key_pem)
    return str(path)
