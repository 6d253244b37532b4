import assert from 'node:assert/strict';
import { Duplex } from 'node:stream';
import { SILENT } from '../../../src/base/log.ts';
import type { VerdictView } from '../../../src/control/flow-view.ts';
import type { FlowAnswer, NetworkHooks } from '../../../src/network/hooks/hooks.ts';
import { ProgramGate } from '../../../src/network/hooks/program-gate.ts';
import type {
  ClientAttempt,
  FlowAttempt,
  GateAnswer,
  GateDenial,
  TcpAnswer,
} from '../../../src/proxy/flows/flow-gate.ts';
import { GUEST, HOST, TestClock } from '../../proxy/recording.ts';
import { testGuest } from '../../support/test-guest.ts';

const FLOW: FlowAttempt = {
  ...{ owner: testGuest(), protocol: 'tcp', guest: GUEST, guestPort: 40_000 },
  ...{ remote: HOST, remotePort: 80, rule: undefined, place: 'outside' },
};
const VERDICT: VerdictView = {
  ...{ guestId: 3, guestName: null, guestMac: null, protocol: 'tcp', place: 'outside' },
  ...{ remoteAddress: `${HOST}`, remotePort: 0, name: null, evidence: null, why: null, rule: null },
};
const CLIENT: ClientAttempt = {
  ...{ publication: '7', protocol: 'udp', address: '127.0.0.1', port: 5 },
  ...{ guest: GUEST, guestPort: 53 },
};

describe('network/hooks/program-gate', () => {
  let records: object[];
  let hasRoom: boolean;
  let gate: ProgramGate;
  const make = (hooks: NetworkHooks, isRequired = true): void => {
    gate = new ProgramGate({
      hooks,
      audit: {
        isRequired,
        admits: (record) => {
          if (hasRoom) records.push(record);
          return hasRoom;
        },
      },
      clock: new TestClock(),
      log: SILENT,
      whoIs: () => ({ guestId: 3, guestName: null, guestMac: null }),
      nameOf: () => 'a.test',
      verdictOf: ({ remotePort }) => ({ ...VERDICT, remotePort }),
    });
  };
  beforeEach(() => {
    records = [];
    hasRoom = true;
  });
  afterEach(() => gate.close());

  const tcp = (): TcpAnswer | undefined => {
    let answer: TcpAnswer | undefined;
    gate.askTcp(FLOW, (decided) => {
      answer = decided;
    });
    return answer;
  };
  const whyOf = (answer: GateAnswer): string =>
    answer === undefined
      ? 'none'
      : 'why' in answer
        ? answer.why
        : `${answer.address} ${answer.port}`;
  const denialOf = (answer: GateAnswer): GateDenial | undefined =>
    answer !== undefined && 'why' in answer ? answer : undefined;

  it('without a hook there is a record of everything, or a denial', () => {
    make({});
    const all = (): string[] => {
      let ofClient = 'not asked';
      gate.askClient({ ...CLIENT, protocol: 'tcp' }, (denial) => {
        ofClient = whyOf(denial);
      });
      const answer = tcp();
      return [
        answer?.kind === 'deny' ? answer.why : (answer?.kind ?? ''),
        whyOf(gate.askNow({ ...FLOW, protocol: 'udp' })),
        whyOf(gate.askService(FLOW)),
        whyOf(gate.askClientNow(CLIENT)),
        ofClient,
      ];
    };
    assert.deepEqual(all(), ['allow', 'none', 'none', 'none', 'none']);
    assert.equal(records.length, 5);
    hasRoom = false;
    assert.deepEqual(all(), ['audit', 'audit', 'audit', 'audit', 'audit']);
  });

  it('what the hook denies has no record; a Duplex without a record is destroyed', () => {
    let answer: FlowAnswer = 'deny';
    make({ onFlow: () => answer });
    assert.equal(tcp()?.kind, 'deny');
    assert.deepEqual(records, []);
    const duplex = new Duplex({ read() {} });
    answer = duplex;
    hasRoom = false;
    assert.equal(tcp()?.kind, 'deny');
    assert.ok(duplex.destroyed);
  });

  it('where no record is required nothing is written for one', () => {
    make({ onFlow: () => 'allow' }, false);
    hasRoom = false;
    assert.equal(tcp()?.kind, 'allow');
    assert.equal(whyOf(gate.askService(FLOW)), 'none');
  });

  it('what is not TCP may be redirected, with a record, and has no Duplex', () => {
    const duplex = new Duplex({ read() {} });
    let answer: FlowAnswer = { redirect: '127.0.0.1:1' };
    make({ onFlow: () => answer });
    const udp = (): GateAnswer => gate.askNow({ ...FLOW, protocol: 'udp' });
    assert.equal(whyOf(udp()), '127.0.0.1 1');
    assert.equal(records.length, 1);
    hasRoom = false;
    assert.equal(whyOf(udp()), 'audit');
    answer = duplex;
    assert.match(denialOf(udp())?.text ?? '', /cannot be answered by a Duplex/);
    assert.ok(duplex.destroyed);
  });

  it('a promise about a datagram, or a client by UDP: dropped until it is there, and asked once', async () => {
    let asked = 0;
    make(
      {
        onFlow: async () => {
          asked++;
          return 'allow' as const;
        },
        onPublishedClient: async () => {
          asked++;
          return 'deny' as const;
        },
      },
      false,
    );
    const ping: FlowAttempt = { ...FLOW, protocol: 'icmp', remotePort: 0 };
    assert.equal(denialOf(gate.askNow(ping))?.isPending, true);
    assert.equal(gate.askClientNow(CLIENT)?.isPending, true);
    await new Promise((done) => setImmediate(done));
    assert.equal(gate.askNow(ping), undefined);
    assert.equal(gate.askClientNow(CLIENT)?.text, 'onPublishedClient denies it');
    assert.equal(asked, 2);
  });
});
