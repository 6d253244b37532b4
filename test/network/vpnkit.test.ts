import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createNetwork } from '../../src/network/create-network.ts';
import type { Network } from '../../src/network/network-interface.ts';
import { goDiscover, macBytes, offered } from '../support/go-vmnet.ts';
import { Vmn3tClient } from '../support/vmn3t-client.ts';

const UUID = '11111111-2222-4333-8444-555555555555';
const OTHER = '99999999-2222-4333-8444-555555555555';
const GATEWAY = [192, 168, 127, 1];

/** An ARP request, padded to 60 bytes as HyperKit pads. */
function arp(mac: string, from: readonly number[], to: readonly number[]): Buffer {
  const frame = Buffer.alloc(60);
  frame.set([...Array(6).fill(0xff), ...macBytes(mac), 8, 6, 0, 1, 8, 0, 6, 4, 0, 1]);
  frame.set([...macBytes(mac), ...from, 0, 0, 0, 0, 0, 0, ...to], 22);
  return frame;
}

/** Who answers for an address. */
async function arpAnswer(client: Vmn3tClient): Promise<string> {
  for (;;) {
    const frame = await client.readFrame();
    if (frame.readUInt16BE(12) === 0x0806 && frame.readUInt16BE(20) === 2) {
      return frame.subarray(28, 32).join('.');
    }
  }
}

describe('network/vpnkit', () => {
  let dir = '';
  let path = '';
  let network: Network;
  const clients: Vmn3tClient[] = [];
  const client = async (): Promise<Vmn3tClient> => {
    const made = await Vmn3tClient.at(path);
    clients.push(made);
    return made;
  };

  beforeEach(async () => {
    dir = mkdtempSync(join(tmpdir(), 'hawser-vpnkit-'));
    path = join(dir, 'v.sock');
    network = await createNetwork({ listen: `vpnkit:${path}` });
  });
  afterEach(async () => {
    for (const made of clients.splice(0)) made.close();
    await network.close();
    rmSync(dir, { recursive: true });
  });

  it('the Go client, which sums nothing, is offered the address that it prefers', async () => {
    const go = await client();
    const { mac } = await go.open(UUID, '192.168.127.77');
    assert.deepEqual(
      network.view.leases().map(({ mac: of, address }) => [of, address]),
      [[mac, '192.168.127.77']],
    );
    go.send(goDiscover(mac));
    assert.equal(await offered(go), '192.168.127.77');
  });

  it('a client is sent nothing before it has asked for an address', async () => {
    const go = await client();
    const { mac } = await go.open(UUID);
    go.send(goDiscover(mac));
    const first = await go.readFrame();
    assert.deepEqual([first.readUInt16BE(12), first.readUInt16BE(36)], [0x0800, 68]);
  });

  it('odd frames end nothing: empty, cut off, as long as 16 bits say, of no protocol', async () => {
    const go = await client();
    const { mac } = await go.open(UUID);
    for (const len of [0, 1, 13, 14, 59, 1551, 65_535]) go.send(Buffer.alloc(len, 0xa5));
    go.send(goDiscover(mac).subarray(0, 40));
    go.send(goDiscover(mac));
    assert.match(await offered(go), /^192\.168\.127\./);
    assert.equal(go.hasEnded, false);
  });

  it('the next is refused what the first has, and addresses that no guest can have', async () => {
    await (await client()).open(UUID, '192.168.127.77');
    for (const [address, why] of [
      ['192.168.127.77', /192\.168\.127\.77 is taken by another guest$/],
      ['192.168.127.1', /192\.168\.127\.1 is no guest's address of this network$/],
      ['10.0.0.1', /10\.0\.0\.1 is no guest's address/],
    ] as const) {
      const next = await client();
      await assert.rejects(next.open(OTHER, address), why);
      await next.readToEnd();
    }
  });

  it("RootlessKit: the parent takes an address and reads no more, the child's traffic goes on", async () => {
    const parent = await client();
    const { mac } = await parent.open(UUID);
    parent.send(goDiscover(mac));
    const address = await offered(parent);
    parent.stopReading();
    const child = await client();
    assert.equal((await child.open(UUID)).mac, mac);
    const own = address.split('.').map(Number);
    for (let i = 0; i < 500; i++) {
      child.send(arp(mac, own, GATEWAY));
      assert.equal(await arpAnswer(child), '192.168.127.1');
    }
    const [guest, ...others] = network.view.guests();
    assert.deepEqual(guest?.addresses, [address]);
    assert.deepEqual(others, []);
  });

  it('a guest that comes back has its address again, which is kept in between', async () => {
    const first = await client();
    const { mac } = await first.open(UUID);
    first.send(goDiscover(mac));
    const address = await offered(first);
    first.close();
    const second = await client();
    const other = await second.open(OTHER);
    second.send(goDiscover(other.mac));
    assert.notEqual(await offered(second), address);
    const again = await client();
    assert.equal((await again.open(UUID)).mac, mac);
    again.send(goDiscover(mac));
    assert.equal(await offered(again), address);
  });

  it('whoever makes up UUIDs leaves addresses for others', async () => {
    await network.close();
    network = await createNetwork({ listen: `vpnkit:${path}`, subnet: '10.9.0.0/29' });
    for (let i = 1; i <= 12; i++) {
      const one = await client();
      await one.open(`11111111-2222-4333-8444-${String(i).padStart(12, '0')}`);
      one.close();
    }
    const kept = (): readonly string[] => network.view.leases().map(({ address }) => address);
    assert.equal(kept().length, 2); // of four: a gateway and a host address are none
    const held = [await client(), await client(), await client()];
    for (const [i, one] of held.entries()) {
      const { mac } = await one.open(`99999999-2222-4333-8444-00000000000${i}`);
      one.send(goDiscover(mac));
      assert.match(await offered(one), /^10\.9\.0\.[2-5]$/);
    }
    const last = await client();
    await assert.rejects(last.open(OTHER, '10.9.0.2'), /10\.9\.0\.2 is /);
  });

  it('its end is in order for clients that the end of the stream alone does not alarm', async () => {
    const go = await client();
    await go.open(UUID);
    go.stopReading();
    const closed = network.close();
    go.readOn();
    await go.readToEnd();
    go.socket.end();
    await closed;
    assert.equal(go.failure, undefined);
  });
});
