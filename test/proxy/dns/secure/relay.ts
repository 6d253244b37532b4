import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import type { DnsUpstream } from '../../../../src/services/dns/resolv-conf.ts';

/** Between hawser and a server: counts connections, cuts them, keeps silent, delays. */
export class Relay {
  readonly connections: Socket[] = [];
  bytesToServer: Buffer = Buffer.alloc(0);
  /** What the server sends waits so long. */
  delayMs = 0;
  private readonly server = createServer((client) => {
    this.connections.push(client);
    const upstream = connect(this.target.port, this.target.address);
    client.on('data', (bytes) => {
      this.bytesToServer = Buffer.concat([this.bytesToServer, bytes]);
    });
    client.pipe(upstream);
    if (this.delayMs === 0) upstream.pipe(client);
    else upstream.on('data', (bytes) => setTimeout(() => client.write(bytes), this.delayMs));
    client.on('error', () => upstream.destroy());
    client.on('close', () => upstream.destroy());
    upstream.on('error', () => client.destroy());
  });
  private readonly target: DnsUpstream;

  constructor(target: DnsUpstream) {
    this.target = target;
  }

  async start(port = 0): Promise<DnsUpstream> {
    this.server.listen(port, '127.0.0.1');
    await once(this.server, 'listening');
    return { ...this.target, port: (this.server.address() as AddressInfo).port };
  }

  cut(): void {
    for (const connection of this.connections) connection.destroy();
  }

  async stop(): Promise<void> {
    this.cut();
    this.server.close();
    await once(this.server, 'close');
  }
}
