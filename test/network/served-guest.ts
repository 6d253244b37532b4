/** A network with one guest, and a server of files on the host. */
import { once } from 'node:events';
import type { Server } from 'node:http';
import type { Log } from '../../src/base/log.ts';
import { makeFileServer } from '../../src/lab/file-server.ts';
import type { SimulatedGuest } from '../../src/lab/guest/simulated-guest.ts';
import { createNetwork } from '../../src/network/create-network.ts';
import type { NetworkHooks } from '../../src/network/hooks/hooks.ts';
import type { Network } from '../../src/network/network-interface.ts';
import type { NetworkOptions } from '../../src/network/options.ts';
import { duplexPair, guestOnStream } from './attached-guest.ts';

export class ServedGuest {
  /** Of the server, at the host's loopback. */
  port = 0;
  network: Network | undefined = undefined;
  private guest: SimulatedGuest | undefined = undefined;
  private readonly server: Server = makeFileServer();

  async serve(): Promise<void> {
    this.server.listen(0, '127.0.0.1');
    await once(this.server, 'listening');
    const address = this.server.address();
    this.port = typeof address === 'object' && address !== null ? address.port : 0;
  }

  async start(options: NetworkOptions & NetworkHooks, log?: Log): Promise<SimulatedGuest> {
    this.network = await createNetwork(options, log);
    const [ours, theirs] = duplexPair();
    this.network.attach(ours, { name: 'pair' });
    this.guest = guestOnStream(theirs).guest;
    await this.guest.lease();
    return this.guest;
  }

  async close(): Promise<void> {
    await this.network?.close();
    await this.guest?.close();
    this.server.close();
  }
}
