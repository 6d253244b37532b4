import assert from 'node:assert/strict';
import { createServer, type Server } from 'node:net';
import { ipv4 } from '../../src/base/ip-address.ts';
import { ListeningSockets, type ListeningSources } from '../../src/native/listening-sockets.ts';
import { allListening, PROC_TABLES } from '../../src/native/listening-tables.ts';
import { loadPosix } from '../../src/native/load.ts';
import type { BoundSockets } from '../../src/native/posix.ts';
import { describeNeeding, itNeeding } from '../support/requirements.ts';

const tables = [{ address: '127.0.0.1', port: 80, inode: '7' }];

describe('native/listening-sockets', () => {
  const by = (
    read: BoundSockets['read'],
  ): ListeningSources & { opened: number; closed: number } => ({
    opened: 0,
    closed: 0,
    posix() {
      const openBoundSockets = (): BoundSockets => {
        this.opened++;
        return {
          read,
          close: () => {
            this.closed++;
          },
        };
      };
      return { openBoundSockets };
    },
    tables: () => tables,
  });

  it('are those of /proc as long as there are no native calls', () => {
    const sockets = new ListeningSockets({ posix: () => undefined, tables: () => tables });
    assert.deepEqual(sockets.read(), tables);
  });

  it('are those of /proc where the kernel has no diagnosis, which is asked for once', () => {
    const sources = by(() => undefined);
    const sockets = new ListeningSockets(sources);
    assert.deepEqual([sockets.read(), sockets.read()], [tables, tables]);
    assert.deepEqual([sources.opened, sources.closed], [1, 1]);
  });

  it('are those of /proc while the kernel cannot say', () => {
    const address = ipv4(0x7f00_0001);
    const found = { protocol: 'tcp', address, port: 443, v6Only: false, inode: 9 } as const;
    const answers: ReturnType<BoundSockets['read']>[] = [[found], undefined, 'same'];
    const sources = by(() => answers.shift());
    const sockets = new ListeningSockets(sources);
    const diagnosed = [{ address: '127.0.0.1', port: 443, inode: '9' }];
    assert.deepEqual(sockets.read(), diagnosed);
    assert.deepEqual(sockets.read(), tables);
    assert.deepEqual(sockets.read(), diagnosed);
    assert.equal(sources.closed, 0);
  });
});

describeNeeding('native/listening-sockets of this machine', ['linux'], () => {
  let servers: Server[];
  beforeEach(async () => {
    servers = [createServer(), createServer()];
    for (const server of servers) {
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    }
  });
  afterEach(() => {
    for (const server of servers) server.close();
  });

  itNeeding('the kernel and /proc say the same', ['koffi'], () => {
    const posix = loadPosix();
    const none = (): never => assert.fail('the kernel has diagnosis');
    const diagnosed = new ListeningSockets({ posix: () => posix, tables: none }).read() ?? [];
    const ports = new Set(servers.map((server) => Object(server.address()).port));
    const ours = (all: readonly { readonly port: number }[] = []): object[] =>
      all.filter(({ port }) => ports.has(port)).sort((a, b) => a.port - b.port);
    assert.equal(ours(diagnosed).length, 2);
    assert.deepEqual(ours(diagnosed), ours(allListening(PROC_TABLES)));
  });
});
