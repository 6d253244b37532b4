/** A real name server (BIND) as upstream, and dig as client, on loopback ports of their own. */

import { type ChildProcess, execFile, execFileSync, spawn } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { DnsForwarder } from '../../../src/proxy/dns/forwarder.ts';
import { DnsTcpSession } from '../../../src/proxy/dns/tcp-session.ts';
import type { DnsUpstream } from '../../../src/services/dns/resolv-conf.ts';
import { OWNER } from '../recording.ts';
import { listenOnOnePort, until } from './lab.ts';

const ZONE = `
$TTL 300
@ 300 IN SOA ns hostmaster 7 3600 600 86400 60
@ IN NS ns
ns IN A 127.0.0.1
www 120 IN A 192.0.2.1
www 120 IN A 192.0.2.2
www 120 IN AAAA 2001:db8::1
v4only IN A 192.0.2.9
alias IN CNAME www
@ IN MX 10 mail
mail IN A 192.0.2.3
_sip._tcp IN SRV 1 2 5060 www
txt IN TXT "one" "two"
caa IN CAA 0 issue "ca.example"
https IN HTTPS 1 . alpn=h2
hints IN HTTPS 1 . alpn=h2 ipv4hint=192.0.2.1 ipv6hint=2001:db8::1
sshfp IN SSHFP 1 1 123456789abcdef67890123456789abcdef67890
loc IN LOC 52 22 23.000 N 4 53 32.000 E -2.00m 0.00m 10000m 10m
unknown IN TYPE65280 \\# 4 0a000001
short 2 IN A 192.0.2.7
${Array.from({ length: 40 }, (_, i) => `big IN TXT "${String(i).padStart(3, '0')}${'x'.repeat(90)}"`).join('\n')}
`;

export interface BindPlace {
  readonly directory: string;
  readonly address: string;
  readonly port: number;
  /** Over TLS, and over HTTPS at /dns-query. */
  readonly tlsPort: number;
  readonly httpsPort: number;
}

/**
 * The files of a server with a certificate for dns.example alone.
 *
 * @returns the command that runs it in the foreground, and the certificate
 */
export function prepareBind({ directory, address, port, tlsPort, httpsPort }: BindPlace): {
  readonly command: readonly string[];
  readonly certificate: string;
} {
  const { key, certificate } = makeCertificate(directory);
  const configuration = join(directory, 'named.conf');
  const at = (where: string): string => `listen-on port ${where} { ${address}; };`;
  writeFileSync(join(directory, 'zone'), ZONE);
  writeFileSync(
    configuration,
    `tls own { key-file "${key}"; cert-file "${certificate}"; };
http own { endpoints { "/dns-query"; }; };
options { directory "${directory}"; listen-on-v6 { none; };
  ${at(`${port}`)} ${at(`${tlsPort} tls own`)} ${at(`${httpsPort} tls own http own`)}
  recursion no; pid-file none; session-keyfile "${directory}/key"; minimal-responses no; rrset-order { order none; };
  max-udp-size 4096; dnssec-validation no; };
controls { };
zone "test.example" { type primary; file "${directory}/zone"; };
zone "broken.example" { type secondary; primaries { 127.0.0.1 port 1; }; file "${directory}/none"; };
`,
  );
  const command = ['named', '-4', '-n', '1', '-f', '-c', configuration];
  return { command, certificate: readFileSync(certificate, 'utf8') };
}

/** For dns.example alone, signed by itself. */
export function makeCertificate(directory: string): {
  readonly key: string;
  readonly certificate: string;
} {
  const [key, certificate] = [join(directory, 'tls-key'), join(directory, 'tls-certificate')];
  const subject = ['-subj', '/CN=test', '-addext', 'subjectAltName=DNS:dns.example'];
  const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  const files = ['-keyout', key, '-out', certificate];
  const argv = ['req', '-x509', ...curve, ...subject, ...files];
  execFileSync('openssl', argv, { stdio: 'ignore' });
  return { key, certificate };
}

export class Bind {
  readonly server: DnsUpstream;
  readonly tlsServer: DnsUpstream;
  readonly httpsServer: DnsUpstream;
  /** Of the latter two. */
  readonly certificate: string;
  private readonly directory: string;
  private readonly child: ChildProcess;

  private constructor(place: BindPlace) {
    const { address, port, tlsPort, httpsPort } = place;
    this.directory = place.directory;
    this.server = { address, port };
    this.tlsServer = { address, port: tlsPort, tlsName: 'dns.example' };
    this.httpsServer = { ...this.tlsServer, port: httpsPort, httpsPath: '/dns-query' };
    const { command, certificate } = prepareBind(place);
    this.certificate = certificate;
    const [program = '', ...argv] = command;
    this.child = spawn(program, argv, { stdio: 'ignore' });
  }

  static async start(): Promise<Bind> {
    const directory = mkdtempSync(join(tmpdir(), 'hawser-named-'));
    const [port, tlsPort, httpsPort] = [await freePort(), await freePort(), await freePort()];
    const bind = new Bind({ directory, address: '127.0.0.1', port, tlsPort, httpsPort });
    await until(async () => (await dig(bind.server, ['ns.test.example'])).status === 'NOERROR');
    return bind;
  }

  async stop(): Promise<void> {
    if (this.child.exitCode === null) {
      this.child.kill();
      await once(this.child, 'exit');
    }
    rmSync(this.directory, { recursive: true });
  }
}

/** The forwarder behind real sockets, as the guest would see it. */
export async function serve(
  forwarder: DnsForwarder,
): Promise<{ readonly server: DnsUpstream; close(): void }> {
  const udp = createSocket('udp4');
  udp.on('message', (bytes, from) => {
    forwarder.query(new Uint8Array(bytes), 'udp', OWNER, (reply) =>
      udp.send(reply, from.port, from.address),
    );
  });
  const tcp = createServer((socket) => {
    const session = new DnsTcpSession(forwarder, OWNER, (framed) => socket.write(framed));
    socket.on('data', (bytes) => {
      if (session.push(bytes) !== undefined) socket.destroy();
    });
    socket.on('error', () => socket.destroy());
    socket.on('close', () => session.close());
  });
  const server = { address: '127.0.0.1', port: await listenOnOnePort(udp, tcp) };
  return {
    server,
    close: () => {
      udp.close();
      tcp.close();
    },
  };
}

export interface DigResult {
  /** `NOERROR`, `NXDOMAIN`, ...; empty when nobody answered. */
  readonly status: string;
  readonly flags: string;
  /** One record a line, whitespace made single. */
  readonly answer: string;
  /** Everything but what differs from run to run: id, time, server. */
  readonly stable: string;
  readonly size: number;
  readonly text: string;
}

export async function dig(server: DnsUpstream, args: readonly string[]): Promise<DigResult> {
  const common = [
    `@${server.address}`,
    '-p',
    String(server.port),
    '+tries=1',
    '+time=3',
    '+nocookie',
  ];
  const run = promisify(execFile);
  const text = await run('dig', [...common, ...args]).then(
    ({ stdout }) => stdout,
    () => '',
  );
  const answer = /ANSWER SECTION:\n([\s\S]*?)\n\n/.exec(text)?.[1] ?? '';
  return {
    status: /status: (\w+)/.exec(text)?.[1] ?? '',
    flags: /flags: ([\w ]*);/.exec(text)?.[1] ?? '',
    answer: answer.replace(/[ \t]+/g, ' '),
    stable: text.replace(/id: \d+|^; <<>>.*|^;; (Query time|WHEN|SERVER):?.*/gm, '').trim(),
    size: Number(/MSG SIZE +rcvd: (\d+)/.exec(text)?.[1] ?? 0),
    text,
  };
}

/** A port that is free for UDP and TCP, as BIND listens on both. */
async function freePort(): Promise<number> {
  const [udp, tcp] = [createSocket('udp4'), createServer()];
  const port = await listenOnOnePort(udp, tcp);
  udp.close();
  tcp.close();
  await once(tcp, 'close');
  return port;
}
