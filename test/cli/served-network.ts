/** A network that is made up, behind a control API of its own. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SILENT } from '../../src/base/log.ts';
import type { ApiListener } from '../../src/control/api-listener.ts';
import { serveControlApi } from '../../src/control/control-api.ts';
import { FakeNetwork } from './fake-network.ts';

export class ServedNetwork {
  readonly dir: string = mkdtempSync(join(tmpdir(), 'hawser-test-'));
  /** The socket of the API. */
  readonly path: string = join(this.dir, 'api.sock');
  readonly network: FakeNetwork = new FakeNetwork();
  private listener: ApiListener | undefined = undefined;

  async serve(): Promise<this> {
    const { path, network } = this;
    const { view, ports } = network;
    const about = { name: 'default', version: '0', log: SILENT, onShutdown: () => {} };
    const address = { kind: 'unix', path } as const;
    this.listener = await serveControlApi({ address, view, ports, ...about });
    return this;
  }

  async close(): Promise<void> {
    await this.listener?.close();
    rmSync(this.dir, { recursive: true });
  }
}
