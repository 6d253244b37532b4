/** A server of DNS over HTTPS that does what a test says, on loopback. */
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import {
  createSecureServer,
  type Http2SecureServer,
  type IncomingHttpHeaders,
  type OutgoingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2';
import type { AddressInfo } from 'node:net';
import type { DnsUpstream } from '../../../../src/services/dns/resolv-conf.ts';

export interface Asked {
  readonly headers: IncomingHttpHeaders;
  readonly query: Uint8Array;
  readonly stream: ServerHttp2Stream;
}

export class HttpsServer {
  readonly sessions: ServerHttp2Session[] = [];
  readonly asked: Asked[] = [];
  behave: (asked: Asked) => void;
  private readonly server: Http2SecureServer;

  constructor(
    certificate: { readonly key: string; readonly certificate: string },
    behave: (asked: Asked) => void,
    maxConcurrentStreams = 100,
  ) {
    this.behave = behave;
    this.server = createSecureServer({
      key: readFileSync(certificate.key),
      cert: readFileSync(certificate.certificate),
      settings: { maxConcurrentStreams },
    });
    this.server.on('session', (session) => this.sessions.push(session));
    this.server.on('stream', (stream, headers) => {
      const chunks: Buffer[] = [];
      stream.on('error', () => {});
      stream.on('data', (bytes: Buffer) => chunks.push(bytes));
      stream.on('end', () => {
        const asked = { headers, query: new Uint8Array(Buffer.concat(chunks)), stream };
        this.asked.push(asked);
        this.behave(asked);
      });
    });
  }

  async start(port = 0): Promise<DnsUpstream> {
    this.server.listen(port, '127.0.0.1');
    await once(this.server, 'listening');
    const { port: got } = this.server.address() as AddressInfo;
    return { address: '127.0.0.1', port: got, tlsName: 'dns.example', httpsPath: '/dns-query' };
  }

  async stop(): Promise<void> {
    for (const session of this.sessions) session.destroy();
    this.server.close();
    await once(this.server, 'close');
  }
}

export function answer(
  { stream }: Asked,
  reply: Uint8Array,
  headers: OutgoingHttpHeaders = {},
): void {
  if (stream.destroyed) return;
  stream.respond({ ':status': 200, 'content-type': 'application/dns-message', ...headers });
  stream.end(reply);
}
