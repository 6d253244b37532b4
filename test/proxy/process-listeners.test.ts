import assert from 'node:assert/strict';
import { createServer, type Server } from 'node:net';
import { allListening, type ListeningEntry } from '../../src/native/listening-tables.ts';
import { OwnListeners } from '../../src/proxy/own-listeners.ts';
import { ProcessListeners, type ProcessSockets } from '../../src/proxy/process-listeners.ts';
import { describeNeeding, itNeeding } from '../support/requirements.ts';

const HEADING =
  '  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n';
const line = (local: string, state: string, inode: number): string =>
  `   0: ${local} 00000000:0000 ${state} 00000000:00000000 00:00000000 00000000  1000        0 ${inode} 1 x 100\n`;

class Files implements ProcessSockets {
  tcp = '';
  tcp6 = '';
  ours: number[] = [];
  reads = 0;
  lookups = 0;
  /** No descriptor is left. */
  exhausted = false;

  read(path: string): string | undefined {
    this.reads++;
    if (this.exhausted) return undefined;
    return HEADING + (path.endsWith('6') ? this.tcp6 : this.tcp);
  }

  listening(): readonly ListeningEntry[] | undefined {
    return allListening(this);
  }

  inodes(): ReadonlySet<string> | undefined {
    this.lookups++;
    if (this.exhausted) return undefined;
    return new Set(this.ours.map(String));
  }
}

describe('proxy/process-listeners', () => {
  let files: Files;
  let now: number;
  let process: ProcessListeners;
  beforeEach(() => {
    files = new Files();
    now = 0;
    process = new ProcessListeners(files, () => now);
  });

  it('reads the addresses of both families as the kernel prints them', () => {
    files.ours = [1, 2, 3];
    files.tcp = line('0100007F:240D', '0A', 1) + line('00000000:0050', '0A', 2);
    files.tcp6 = line('B80D0120000000000000000005000000:0050', '0A', 3);
    assert.deepEqual([...(process.addressesAt(9229) ?? [])], ['127.0.0.1']);
    assert.deepEqual([...(process.addressesAt(80) ?? [])], ['0.0.0.0', '2001:db8::5']);
  });

  it("another process's sockets, and connections of ours, are none of them", () => {
    files.ours = [2];
    files.tcp = line('0100007F:240D', '0A', 1) + line('0100007F:0050', '01', 2);
    assert.equal(process.addressesAt(9229), undefined);
    assert.equal(process.addressesAt(80), undefined);
  });

  it('reads again after a moment, and asks whose a socket is once', () => {
    files.tcp = line('0100007F:0050', '0A', 7);
    process.addressesAt(80);
    process.addressesAt(80);
    assert.deepEqual([files.reads, files.lookups], [2, 1]);
    now = 100;
    process.addressesAt(80);
    assert.deepEqual([files.reads, files.lookups], [4, 1]);
    files.ours = [8];
    files.tcp += line('0100007F:240D', '0A', 8);
    assert.equal(process.addressesAt(9229), undefined, 'not yet');
    now = 200;
    assert.ok(process.addressesAt(9229)?.has('127.0.0.1'));
    assert.equal(files.lookups, 2);
  });

  it('where reading takes long, it reads less often', () => {
    const listening = (): readonly ListeningEntry[] => {
      now += 20;
      return [];
    };
    const slow = new ProcessListeners({ listening, inodes: () => new Set() }, () => now);
    slow.addressesAt(80);
    assert.equal(now, 20);
    now = 10_000;
    slow.addressesAt(80);
    assert.equal(now, 10_000);
    now = 10_030;
    slow.addressesAt(80);
    assert.equal(now, 10_050);
  });

  it('while no descriptor is left, what was found before holds, and it tries again at once', () => {
    files.ours = [7];
    files.tcp = line('0100007F:240D', '0A', 7);
    assert.ok(process.addressesAt(9229)?.has('127.0.0.1'));
    now = 200;
    files.exhausted = true;
    assert.ok(process.addressesAt(9229)?.has('127.0.0.1'));
    files.exhausted = false;
    files.tcp = '';
    assert.equal(process.addressesAt(9229), undefined);
  });

  it('while no descriptor is left to see whose a new socket is, it counts as ours', () => {
    files.tcp = line('0100007F:240D', '0A', 7);
    files.inodes = () => undefined;
    assert.ok(process.addressesAt(9229)?.has('127.0.0.1'));
    files.inodes = () => new Set();
    now = 200;
    assert.equal(process.addressesAt(9229), undefined);
  });

  it('does not look for the owner of a socket at whose port nobody is', () => {
    files.ours = [7];
    files.tcp = line('0100007F:240D', '0A', 7);
    assert.equal(process.addressesAt(80), undefined);
    assert.equal(files.lookups, 0);
    assert.ok(process.addressesAt(9229)?.has('127.0.0.1'));
    assert.equal(files.lookups, 1);
  });

  it('forgets whose sockets are when there are too many', () => {
    for (let round = 0; round < 5; round++) {
      files.tcp = '';
      for (let i = 0; i < 1_000; i++) files.tcp += line('0100007F:0050', '0A', round * 1_000 + i);
      files.ours = [round * 1_000];
      now += 10_000;
      assert.ok(process.addressesAt(80)?.has('127.0.0.1'));
    }
  });
});

describeNeeding('proxy/own-listeners of a process', ['linux'], () => {
  let server: Server;
  let port = 0;
  beforeEach(async () => {
    server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const address = server.address();
    port = typeof address === 'object' && address !== null ? address.port : 0;
  });
  afterEach(() => {
    server.close();
  });

  it('whatever listens in it is refused, at the addresses where it does', () => {
    const own = new OwnListeners();
    own.addProcess(() => false);
    assert.equal(own.includes('127.0.0.1', port), true);
    assert.equal(own.includes('::1', port), false);
    assert.equal(own.includes('127.0.0.1', port + 1), false);
  });

  for (const bound of ['::', '::1'] as const) {
    itNeeding(`at ${bound} too`, ['ipv6'], async () => {
      const other = createServer();
      await new Promise<void>((resolve) => other.listen(0, bound, resolve));
      try {
        const at = other.address();
        assert.ok(typeof at === 'object' && at !== null);
        const own = new OwnListeners();
        own.addProcess(() => false);
        assert.equal(own.includes('::1', at.port), true);
        assert.equal(own.includes('127.0.0.1', at.port), bound === '::');
      } finally {
        other.close();
      }
    });
  }

  it('a port offered at one address is refused at another', () => {
    const own = new OwnListeners();
    own.addProcess((address, offered) => address === '::1' && offered === port);
    assert.equal(own.includes('127.0.0.1', port), true);
    assert.equal(own.hasPort(port), true);
    own.addProcess(() => true);
    assert.equal(own.hasPort(port), false);
  });

  it('a port that has been withdrawn may be published again at once', () => {
    let isPublished = true;
    const own = new OwnListeners();
    own.addProcess(() => isPublished);
    assert.equal(own.hasPort(port), false);
    isPublished = false; // its socket is in what was read
    assert.equal(own.hasPort(port), false);
  });

  it('what is offered is not', () => {
    const own = new OwnListeners();
    own.addProcess((address, offered) => address === '127.0.0.1' && offered === port);
    assert.equal(own.includes('127.0.0.1', port), false);
    own.add('127.0.0.1', port);
    assert.equal(own.includes('127.0.0.1', port), true, 'a link or the API there is');
  });
});
