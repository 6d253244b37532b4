import assert from 'node:assert/strict';
import type { IpAddress } from '../../../src/base/ip-address.ts';
import { formatBindRule, isAllowed, parseBindRule } from '../../../src/control/ports/bind-rules.ts';
import {
  AgentAccess,
  GuestAccess,
  limitedHostAccess,
} from '../../../src/control/ports/port-access.ts';
import type { PortTable } from '../../../src/proxy/ports/port-table.ts';
import { formatHostSide, type HostAddress } from '../../../src/proxy/ports/publish-spec.ts';
import type { Guest } from '../../../src/stack/guest.ts';
import { portTable } from '../../proxy/ports/port-fixture.ts';
import { GUEST, ip, OWNER } from '../../proxy/recording.ts';
import { itNeeding } from '../../support/requirements.ts';
import { testGuest } from '../../support/test-guest.ts';

const rules = (...texts: string[]) =>
  texts.map((text) => {
    const rule = parseBindRule(text);
    assert.ok(rule !== undefined, text);
    assert.equal(formatBindRule(rule), text);
    return rule;
  });

describe('control/ports/bind-rules', () => {
  const ALLOWED: readonly (readonly [string, string | undefined, number, boolean])[] = [
    ['127.0.0.1:1024-65535', '127.0.0.1', 1024, true],
    ['127.0.0.1:1024-65535', '127.0.0.1', 1023, false],
    ['127.0.0.1:1024-65535', '127.0.0.2', 1024, false],
    ['127.0.0.1:1024-65535', '0.0.0.0', 1024, false],
    ['127.0.0.1:1024-65535', undefined, 1024, false],
    ['127.0.0.0/8:1024-65535', '127.0.0.53', 1024, true],
    ['127.0.0.0/8:1024-65535', '127.0.0.53', 53, false],
    ['127.0.0.0/8:1024-65535', '128.0.0.1', 1024, false],
    ['127.0.0.0/8:1024-65535', '0.0.0.0', 1024, false],
    ['127.0.0.0/8:1024-65535', '::1', 1024, false],
    ['127.0.0.0/8:1024-65535', undefined, 1024, false],
    ['[fd00::/8]:80-81', 'fd12::1', 81, true],
    ['[fd00::/8]:80-81', 'fe80::1', 81, false],
    ['0.0.0.0:80', '0.0.0.0', 80, true],
    ['0.0.0.0:80', '10.0.0.1', 80, true],
    ['0.0.0.0:80', '::1', 80, false],
    ['[::]:80', '::1', 80, true],
    ['*:80', '::1', 80, true],
    ['*:80', undefined, 80, true],
    ['*:80', undefined, 81, false],
  ];
  for (const [rule, address, port, allowed] of ALLOWED) {
    it(`${rule} ${allowed ? 'allows' : 'does not allow'} ${address ?? '*'} port ${port}`, () => {
      const at = address === undefined ? undefined : ip(address);
      assert.equal(isAllowed(rules(rule), at, port), allowed);
    });
  }

  for (const text of [
    '',
    '80',
    'localhost:80',
    '127.0.0.1',
    '127.0.0.1:0',
    '*:9-8',
    '127.0.0.1:x',
    '127.0.0.0/33:80',
    '127.0.0.0/:80',
    'fd00::/8:80',
  ]) {
    it(`"${text}" is no rule`, () => assert.equal(parseBindRule(text), undefined));
  }
});

describe('control/ports/port-access of the host, within rules', () => {
  let table: PortTable;
  beforeEach(() => {
    table = portTable();
  });
  afterEach(() => table.close());

  const at = async (rule: string, hostAddress: HostAddress): Promise<string> => {
    const access = limitedHostAccess(table, rules(rule));
    const spec = { protocol: 'tcp', hostPort: 0, guestAddress: GUEST, guestPort: 80 } as const;
    const port = await access.publish({ ...spec, hostAddress }, false);
    return formatHostSide(port).replace(/:\d+\//, '/');
  };

  for (const [rule, address, published] of [
    ['*:1-65535', undefined, '*/tcp'],
    ['127.0.0.1:1-65535', ip('127.0.0.1'), '127.0.0.1/tcp'],
    ['127.0.0.1:1-65535', 'localhost', '127.0.0.1/tcp'],
    ['*:1-65535', 'localhost', 'localhost/tcp'],
  ] as const) {
    itNeeding(`${rule}: ${address ?? '*'} is published at ${published}`, ['ipv6'], async () =>
      assert.equal(await at(rule, address), published),
    );
  }
  for (const address of [undefined, ip('0.0.0.0'), ip('127.0.0.2')]) {
    it(`127.0.0.1: ${address ?? '*'} is refused`, () =>
      assert.rejects(at('127.0.0.1:1-65535', address), { code: 'ERR_HAWSER_PUBLISH_FORBIDDEN' }));
  }
});

describe('control/ports/port-access of a guest', () => {
  let table: PortTable;
  const loopback = rules('127.0.0.1:1024-65535', '[::1]:1024-65535');
  const spec = { protocol: 'tcp', guestAddress: undefined, guestPort: 80 } as const;

  beforeEach(() => {
    const other = testGuest();
    const ownerOf = (guest: IpAddress): Guest => (guest.equals(GUEST) ? OWNER : other);
    table = portTable({ ownerOf }, { ports: 5, kept: 1 });
  });
  afterEach(() => table.close());

  itNeeding(
    'narrows a wildcard to the loopback where only that is allowed, and finds it again',
    ['ipv6'],
    async () => {
      const access = new GuestAccess(table, loopback, GUEST);
      for (const [asked, bound] of [
        [ip('0.0.0.0'), '127.0.0.1'],
        [undefined, 'localhost'],
        [ip('::'), '[::1]'],
      ] as const) {
        const port = await access.publish({ ...spec, hostAddress: asked, hostPort: 0 }, false);
        assert.ok(port.protocol !== 'unix');
        assert.equal(formatHostSide(port), `${bound}:${port.hostPort}/tcp`);
        assert.equal(access.find('tcp', asked, port.hostPort)?.id, port.id);
        assert.equal(`${port.guestAddress}`, `${GUEST}`);
      }
    },
  );

  it('a guest that has more loses its last one to another, and keeps its share', async () => {
    const access = new GuestAccess(table, loopback, GUEST);
    const other = new GuestAccess(table, loopback, ip('192.168.127.3'));
    const wanted = { ...spec, hostAddress: ip('127.0.0.1'), hostPort: 0 };
    const ids: string[] = [];
    for (let i = 0; i < 4; i++) ids.push((await access.publish(wanted, false)).id);
    for (let i = 0; i < 2; i++) await other.publish(wanted, false);
    await assert.rejects(other.publish(wanted, false), { code: 'ERR_HAWSER_PUBLISH_LIMIT' });
    assert.deepEqual(
      access.list().map(({ id }) => id),
      ids.slice(0, 2),
    );
  });

  it('sees and withdraws only its own, and has a limit of its own', async () => {
    const access = new GuestAccess(table, loopback, GUEST);
    const other = new GuestAccess(table, loopback, ip('192.168.127.3'));
    const wanted = { ...spec, hostAddress: ip('127.0.0.1'), hostPort: 0 };
    const theirs = await other.publish(wanted, false);
    await table.publish(wanted, 'config');
    for (let i = 0; i < 3; i++) await access.publish(wanted, false);
    await assert.rejects(access.publish(wanted, false), { code: 'ERR_HAWSER_PUBLISH_LIMIT' });
    assert.equal(access.list().length, 3);
    assert.equal(access.unpublish(theirs.id), false);
    assert.equal(other.list().length, 1);
  });

  it('what a guest has published ends with it, and nothing else', async () => {
    const access = new GuestAccess(table, loopback, GUEST);
    const other = new GuestAccess(table, loopback, ip('192.168.127.3'));
    const wanted = { ...spec, hostAddress: ip('127.0.0.1'), hostPort: 0 };
    const ours = await table.publish(wanted, 'config');
    await access.publish(wanted, false);
    const theirs = await other.publish(wanted, false);
    await access.publish(wanted, false);
    table.endGuest(OWNER);
    table.endGuest(OWNER);
    assert.deepEqual(
      table.list().map(({ id }) => id),
      [ours.id, theirs.id],
    );
    assert.equal(table.budget.held, 2);
  });

  it('once the guest has started anew, what it publishes again replaces what was there', async () => {
    const access = new GuestAccess(table, loopback, GUEST);
    const wanted = { ...spec, hostAddress: ip('127.0.0.1') };
    const { id, ...before } = await access.publish({ ...wanted, hostPort: 0 }, false);
    assert.ok(before.protocol !== 'unix');
    const again = { ...wanted, hostPort: before.hostPort };
    await assert.rejects(access.publish(again, false), { code: 'EADDRINUSE' });
    OWNER.starts++;
    assert.equal(access.find('tcp', again.hostAddress, again.hostPort)?.outdated, true);
    const after = await access.publish(again, false);
    assert.notEqual(after.id, id);
    assert.equal(table.list().length, 1);
    await assert.rejects(access.publish(again, false), { code: 'EADDRINUSE' });
  });

  it('a picked port that the rules do not allow is withdrawn again', async () => {
    const access = new GuestAccess(table, rules('127.0.0.1:1-2'), GUEST);
    const wanted = { ...spec, hostAddress: ip('127.0.0.1'), hostPort: 0 };
    await assert.rejects(access.publish(wanted, false), { code: 'ERR_HAWSER_PUBLISH_FORBIDDEN' });
    assert.equal(table.list().length, 0);
  });

  it('without rules there is no place', async () => {
    const access = new GuestAccess(table, [], GUEST);
    const wanted = { ...spec, hostAddress: undefined, hostPort: 8080 };
    await assert.rejects(access.publish(wanted, false), /at no place/);
  });
});

describe('control/ports/port-access of the agent', () => {
  it('has a limit of its own, and sees no port of a guest', async () => {
    const carrier = { serve: () => false, listenUdp: () => assert.fail('no UDP here') };
    const agent = { ...carrier, of: () => carrier };
    const table = portTable({ agent }, { ports: 5, kept: 1 });
    const loopback = rules('127.0.0.1:1024-65535');
    const access = new AgentAccess(table, loopback, 'unix:/agent');
    const guest = new GuestAccess(table, loopback, GUEST);
    const spec = { protocol: 'tcp', guestAddress: ip('172.17.0.2'), guestPort: 80 } as const;
    const wanted = { ...spec, hostAddress: ip('127.0.0.1'), hostPort: 0 };
    await guest.publish({ ...wanted, guestAddress: undefined }, false);
    for (let i = 0; i < 3; i++) assert.ok((await access.publish(wanted, false)).useAgent);
    await assert.rejects(access.publish(wanted, false), {
      code: 'ERR_HAWSER_PUBLISH_LIMIT',
      message: /no more ports can be published now: there may be 5/,
    });
    assert.equal(access.list().length, 3);
    assert.equal(guest.list().length, 1);
    table.close();
  });
});
