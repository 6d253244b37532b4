import assert from 'node:assert/strict';
import { figure, reportLine } from '../../../src/cli/demo/display.ts';
import { runGuestSteps } from '../../../src/cli/demo/guest-steps.ts';
import type { PublishingHost } from '../../../src/cli/demo/published-steps.ts';
import { StepRunner } from '../../../src/cli/demo/step-runner.ts';
import type { MuxLinkView } from '../../../src/control/network-view.ts';
import type { EmbeddedGuest, Transfer } from '../../../src/lab/guest/embedded-guest.ts';
import { LeftOutError, type StepReport } from '../../../src/lab/step-report.ts';
import type { PortTable } from '../../../src/proxy/ports/port-table.ts';
import { PLAN, SUM } from '../../lab/sample-plan.ts';
import { portTable } from '../../proxy/ports/port-fixture.ts';
import { addressMap, SIX } from '../../proxy/recording.ts';

const IPV6_ADDRESS = 'fd12:3456::2';
const IPV6_STEPS = [
  ...['address-ipv6', 'resolve-ipv6', 'ping-gateway-ipv6', 'ping-host-ipv6', 'download-ipv6'],
];
const QUIET = { begin: (): void => {}, progress: (): void => {}, end: (): void => {} };

function makeGuest(changes: Partial<EmbeddedGuest>): EmbeddedGuest {
  const transfer: Transfer = { bytes: PLAN.sizeBytes, sha256: SUM, ms: 5 };
  return {
    kind: 'simulated',
    about: 'a guest of this test',
    link: undefined,
    attach: () => {},
    lease: async () => ({
      address: '192.168.127.2',
      prefixLen: 24,
      router: PLAN.gateway,
      dns: PLAN.gateway,
      mtu: 1500,
      client: 'test',
    }),
    resolve: async () => PLAN.hostIp,
    ipv6Address: async () => IPV6_ADDRESS,
    resolveIpv6: async () => PLAN.ipv6?.hostIp ?? '',
    ping: async () => 0.5,
    download: async () => transfer,
    upload: async () => transfer,
    serve: async () => 8000,
    startAgent: async () => 'an agent of this test',
    close: async () => {},
    ...changes,
  };
}

const LINK: MuxLinkView = {
  link: 'guest:4099',
  state: 'connected',
  problem: '',
  peers: [
    {
      id: 1,
      state: 'ready',
      dialect: 'hawser',
      role: 'connector',
      upMs: 1,
      rttMs: 0,
      channels: 0,
      opened: 0,
      accepted: 0,
      bytesReceived: 0,
      bytesSent: 0,
      windowBytes: 0,
      drops: {},
    },
  ],
};

interface Tried {
  readonly reports: readonly StepReport[];
  /** That the host fetched. */
  readonly urls: readonly string[];
  /** `way host -> guest` */
  readonly published: readonly string[];
  readonly inGuest: string | undefined;
}

const tableWithAgent = (): PortTable =>
  portTable({
    addresses: addressMap(SIX),
    agent: {
      serve: () => false,
      listenUdp: () => {
        throw new Error('not in this test');
      },
      of: () => assert.fail('not in this test'),
    },
  });

/** Run the steps against a table of ports that is real, and a guest and a client that are not. */
async function runSteps(
  guest: Partial<EmbeddedGuest>,
  host: Partial<PublishingHost> = {},
): Promise<Tried> {
  const runner = new StepRunner(QUIET);
  const ports = tableWithAgent();
  const urls: string[] = [];
  try {
    const inGuest = await runGuestSteps(makeGuest(guest), PLAN, runner, {
      ports,
      muxLinks: () => [LINK],
      fetch: async (url) => {
        urls.push(url);
        return { bytes: PLAN.sizeBytes, sha256: SUM, ms: 5 };
      },
      ...host,
    });
    const published = ports
      .list()
      .map(({ useAgent, guestAddress, guestPort }) => [useAgent, `${guestAddress}`, guestPort]);
    return { reports: runner.reports, urls, published: published.map(String), inGuest };
  } finally {
    ports.close();
  }
}

const failed = (reports: readonly StepReport[]): string[] =>
  reports.filter((report) => !report.ok).map((report) => report.step);

describe('demo steps', () => {
  it('succeed with a guest that works', async () => {
    const { reports } = await runSteps({});
    assert.deepEqual(failed(reports), []);
    assert.deepEqual(
      reports.map(({ step }) => step),
      [
        ...['lease', 'resolve', 'ping-gateway', 'ping-host', 'download', 'upload'],
        ...IPV6_STEPS,
        ...['mux-up', 'publish', 'fetch-port', 'fetch-mux', 'fetch-ipv6'],
      ],
    );
  });

  it("the guest's server is published on the host's loopback both ways, and fetched from by each", async () => {
    const { published, urls, inGuest } = await runSteps({});
    assert.deepEqual(published, [
      'false,192.168.127.2,8000',
      'true,undefined,8000',
      `false,${IPV6_ADDRESS},8000`,
    ]);
    assert.equal(new Set(urls).size, 3);
    for (const url of urls) {
      assert.match(url, /^http:\/\/(127\.0\.0\.1|\[::1\]):\d+\/bytes\/5000\?seed=1$/);
    }
    assert.ok(inGuest !== undefined && urls[0]?.startsWith(`${inGuest}/`));
  });

  const cases: readonly (readonly [string, Partial<EmbeddedGuest>, string])[] = [
    ['a wrong address', { resolve: async () => '10.0.0.1' }, 'resolve'],
    ['no reply', { ping: () => Promise.reject(new Error('100% loss')) }, 'ping-gateway'],
    ['bytes missing', { download: async () => ({ bytes: 4999, sha256: SUM, ms: 5 }) }, 'download'],
    ['another sum', { upload: async () => ({ bytes: 5000, sha256: 'f0', ms: 5 }) }, 'upload'],
    ['an agent that ends', { startAgent: () => Promise.reject(new Error('exit')) }, 'mux-up'],
    ['a server that does not start', { serve: () => Promise.reject(new Error('no')) }, 'publish'],
  ];
  for (const [what, changes, step] of cases) {
    it(`${what} fails ${step}`, async () => {
      assert.equal(failed((await runSteps(changes)).reports)[0], step);
    });
  }

  it('bytes that differ fail the fetches, each by itself', async () => {
    const { reports } = await runSteps(
      {},
      { fetch: async () => ({ bytes: 5000, sha256: 'f0', ms: 5 }) },
    );
    assert.deepEqual(failed(reports), ['fetch-port', 'fetch-mux', 'fetch-ipv6']);
  });

  it('without a server in the guest neither fetch is a success', async () => {
    const serve = () => Promise.reject(new Error('no'));
    const { reports, urls } = await runSteps({ serve });
    assert.deepEqual(failed(reports), ['publish', 'fetch-port', 'fetch-mux']);
    assert.deepEqual(urls, []);
  });

  it('where there can be no agent, its steps are left out in words, and the others tried', async () => {
    const startAgent = () => Promise.reject(new LeftOutError('no Node in this guest'));
    const { reports, urls } = await runSteps({ startAgent });
    const left = reports.filter(({ skipped }) => skipped === true);
    assert.deepEqual(
      left.map(({ step, ok, detail }) => [step, ok, detail]),
      [
        ['mux-up', false, 'no Node in this guest'],
        ['fetch-mux', false, 'no Node in this guest'],
      ],
    );
    assert.equal(urls.length, 2);
    for (const report of left)
      assert.match(reportLine(report), /^ {2}-- .*no Node in this guest\n$/);
  });

  it('a ping that cannot be tried is left out, and the others tried', async () => {
    const ping = () => Promise.reject(new LeftOutError('no ping socket'));
    const { reports } = await runSteps({ ping });
    const steps = ['ping-gateway', 'ping-host', 'ping-gateway-ipv6', 'ping-host-ipv6'];
    assert.deepEqual(failed(reports), steps);
    assert.ok(reports.every(({ ok, skipped }) => ok || skipped === true));
  });

  it('a guest without IPv6 leaves it out by name, and the rest is tried', async () => {
    const ipv6Address = () => Promise.reject(new LeftOutError('no IPv6 in this kernel'));
    const { reports } = await runSteps({ ipv6Address });
    assert.deepEqual(failed(reports), ['address-ipv6']);
    assert.equal(reports.find(({ step }) => step === 'address-ipv6')?.skipped, true);
    assert.equal(reports.length, 11);
  });

  it('a host without ::1 leaves the fetch from there out by name', async () => {
    const none = Object.assign(new Error('no address'), { code: 'EADDRNOTAVAIL' });
    const ports = tableWithAgent();
    const publish: PublishingHost['ports']['publish'] = (spec, owner) =>
      spec.protocol !== 'unix' && `${spec.hostAddress}` === '::1'
        ? Promise.reject(new Error('cannot publish', { cause: none }))
        : ports.publish(spec, owner);
    try {
      const { reports } = await runSteps({}, { ports: { publish } });
      assert.deepEqual(
        reports.filter(({ ok }) => !ok).map(({ step, detail }) => [step, detail]),
        [['fetch-ipv6', 'left out: this host has no ::1']],
      );
    } finally {
      ports.close();
    }
  });

  it('nothing is tried after a failed lease', async () => {
    const lease = () => Promise.reject(new Error('no answer'));
    const { reports } = await runSteps({ lease });
    assert.deepEqual(
      reports.map((report) => [report.step, report.ok, report.detail]),
      [['lease', false, 'no answer']],
    );
  });

  it('a figure has a rate where bytes moved', () => {
    assert.equal(
      figure({ step: 's', ok: true, ms: 2000, detail: '', bytes: 4e6 }),
      '2000 ms, 2 MB/s',
    );
    assert.equal(figure({ step: 's', ok: true, ms: 0.5, detail: '' }), '0.50 ms');
  });

  it('a failed step says so', () => {
    const line = reportLine({ step: 'upload', ok: false, ms: 1, detail: 'reset' });
    assert.match(line, /FAIL upload .*reset\n$/);
  });
});
