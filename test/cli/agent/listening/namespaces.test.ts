import assert from 'node:assert/strict';
import fc from 'fast-check';
import { ipv4 } from '../../../../src/base/ip-address.ts';
import {
  innerAddress,
  isInnerText,
  parseInner,
} from '../../../../src/cli/agent/listening/netns/inner-address.ts';
import {
  NAMESPACES_MAX,
  type NamespaceFiles,
  Namespaces,
} from '../../../../src/cli/agent/listening/netns/namespaces.ts';
import { parseAddress } from '../../../../src/services/address-text.ts';

const OWN = 1;
const LOOK_MS = 250;
const ALL_MS = 5_000;

describe('agent: network namespaces of the guest', () => {
  let now: number;
  let lookMs: number;
  /** Inodes by path. */
  let paths: Map<string, number>;
  let read: string[];
  let changes: string[];

  beforeEach(() => {
    now = 1_000_000;
    lookMs = 0;
    paths = new Map([
      ['/proc/self/ns/net', OWN],
      ['/proc/1/ns/net', OWN],
    ]);
    read = [];
    changes = [];
  });

  const files: NamespaceFiles = {
    list: (directory) => {
      const names = [...paths.keys()].flatMap((path) => {
        if (!path.startsWith(`${directory}/`)) return [];
        return [path.slice(directory.length + 1).split('/')[0] ?? ''];
      });
      return [...names, 'version'];
    },
    inodeOf: (path) => {
      read.push(path);
      now += lookMs;
      return paths.get(path);
    },
  };
  const open = (withUnnamed = true): Namespaces =>
    new Namespaces({
      clock: { now: () => now },
      files,
      withUnnamed,
      onFound: ({ inode, name }, path) => changes.push(`+${inode} ${name ?? '-'} ${path}`),
      onLost: ({ inode }) => changes.push(`-${inode}`),
    });
  const look = (namespaces: Namespaces, afterMs = LOOK_MS): string[] => {
    now += afterMs;
    namespaces.look();
    return changes.splice(0);
  };

  it('each once, by its inode, and not its own', () => {
    paths.set('/run/netns/blue', 7);
    paths.set('/proc/20/ns/net', 7);
    paths.set('/proc/21/ns/net', 8);
    paths.set('/proc/22/ns/net', 8);
    const namespaces = open();
    assert.deepEqual(look(namespaces), ['+7 blue /run/netns/blue', '+8 - /proc/21/ns/net']);
    assert.deepEqual(look(namespaces), []);
  });

  it('those with a name alone: processes are not looked at', () => {
    paths.set('/run/netns/blue', 7);
    paths.set('/proc/21/ns/net', 8);
    assert.deepEqual(look(open(false)), ['+7 blue /run/netns/blue']);
    assert.ok(!read.includes('/proc/21/ns/net'));
  });

  it('a file that is none, and a process that may not be seen, are passed over', () => {
    paths.set('/run/netns/half-made/x', 9);
    paths.set('/proc/30/status', 9);
    assert.deepEqual(look(open()), []);
  });

  it('it ends with its last process, however many it had', () => {
    paths.set('/proc/21/ns/net', 8);
    paths.set('/proc/22/ns/net', 8);
    const namespaces = open();
    look(namespaces);
    paths.delete('/proc/21/ns/net');
    assert.deepEqual(look(namespaces), []);
    paths.set('/proc/22/ns/net', OWN);
    assert.deepEqual(look(namespaces), ['-8']);
  });

  it('it ends with its name, unless a process is there', () => {
    paths.set('/run/netns/blue', 7);
    const namespaces = open();
    look(namespaces);
    paths.set('/run/netns/blue', 9);
    assert.deepEqual(look(namespaces), ['-7', '+9 blue /run/netns/blue']);
    paths.set('/proc/21/ns/net', 9);
    paths.delete('/run/netns/blue');
    assert.deepEqual(look(namespaces), ['-9', '+9 - /proc/21/ns/net']);
  });

  it('it may get a name', () => {
    paths.set('/proc/21/ns/net', 8);
    const namespaces = open();
    look(namespaces);
    paths.set('/run/netns/blue', 8);
    assert.deepEqual(look(namespaces), ['-8', '+8 blue /run/netns/blue']);
  });

  it('a process that enters one is seen: young at once, old after a while', () => {
    const namespaces = open();
    look(namespaces);
    paths.set('/proc/40/ns/net', OWN);
    look(namespaces);
    paths.set('/proc/40/ns/net', 10);
    assert.deepEqual(look(namespaces), ['+10 - /proc/40/ns/net']);
    look(namespaces, ALL_MS);
    paths.set('/proc/1/ns/net', 11);
    read = [];
    assert.deepEqual(look(namespaces), []);
    assert.ok(!read.includes('/proc/1/ns/net'));
    assert.deepEqual(look(namespaces, ALL_MS), ['+11 - /proc/1/ns/net']);
  });

  it('looks are no more than so many, and rarer where they take long', () => {
    const namespaces = open();
    look(namespaces);
    read = [];
    look(namespaces, LOOK_MS - 1);
    assert.deepEqual(read, []);
    lookMs = 5;
    look(namespaces, 1);
    read = [];
    look(namespaces, 4 * LOOK_MS);
    assert.deepEqual(read, []);
    look(namespaces, 5_000);
    assert.notDeepEqual(read, []);
  });

  it('so many, and the rest is counted', () => {
    for (let i = 0; i < NAMESPACES_MAX + 3; i++) paths.set(`/run/netns/n${i}`, 100 + i);
    const namespaces = open();
    assert.equal(look(namespaces).length, NAMESPACES_MAX);
    assert.equal(namespaces.leftOut, 3);
    paths.delete('/run/netns/n0');
    assert.equal(look(namespaces).length, 2);
    assert.equal(namespaces.leftOut, 2);
  });

  it('an address holds its inode and an address there, and no other address does', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 0xffff_ffff }), fc.integer(), (inode, word) => {
        const address = innerAddress(inode, ipv4(word));
        assert.ok(isInnerText(address.toString()));
        const parsed = parseInner(parseAddress(address.toString()) ?? ipv4(0));
        assert.deepEqual(parsed, { inode, address: ipv4(word) });
      }),
    );
    for (const text of ['127.0.0.1', '::1', '::', '1.0.0.0', '100:1::1', 'fd00::1']) {
      const address = parseAddress(text) ?? ipv4(0);
      assert.equal(parseInner(address), undefined, text);
      assert.equal(isInnerText(address.toString()), false, text);
    }
  });
});
