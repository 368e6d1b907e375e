"""Makes the certificate of the servers that speak TLS: ECDSA on P-256, which nobody else trusts."""

import subprocess


def make(folder):
    """Returns the paths of a new certificate and its key."""
    certificate, key = folder / "cert.pem", folder / "key.pem"
    try:
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                        "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1",
                        "-addext", "basicConstraints=critical,CA:FALSE", "-keyout", key, "-out", certificate],
                       check=True, stderr=subprocess.DEVNULL)
    except FileNotFoundError:
        raise SystemExit("servers that speak TLS need the program openssl, for a certificate") from None
    return certificate, key
