import assert from 'node:assert/strict';
import {
  AGENT_HELP,
  formatForward,
  parseAgentArguments,
} from '../../../src/cli/agent/arguments.ts';

describe("the agent's arguments", () => {
  it('reads links, peers, rules and forwards', () => {
    const parsed = parseAgentArguments([
      ...['--listen', 'tcp:0.0.0.0:4099', '--listen=unix:/run/a', '--connect', 'vsock:2:4099'],
      ...['--peer', '192.168.127.1', '--allow', 'tcp:127.0.0.1:*', '--plain'],
      ...['--forward-to-host', 'unix:/run/l=tcp:127.0.0.1:22', '--log-level', 'debug'],
    ]);
    assert.ok(parsed.kind === 'run');
    const { request } = parsed;
    assert.deepEqual(
      request.listen.map(({ text }) => text),
      ['tcp:0.0.0.0:4099', 'unix:/run/a'],
    );
    assert.deepEqual(request.connect[0]?.spec, { kind: 'vsock', cid: 2, port: 4099 });
    assert.deepEqual(request.peers, ['192.168.127.1']);
    assert.equal(request.allow?.length, 1);
    assert.deepEqual(request.forwards.map(formatForward), ['unix:/run/l=tcp:127.0.0.1:22']);
    assert.equal(request.plain, true);
    assert.equal(request.level, 'debug');
  });

  it('watches the engine at a known place, or those that are named', () => {
    const api = ['--listen', 'unix:/a'];
    for (const [argv, expected] of [
      [['--watch-docker'], ['']],
      [['--watch-docker', '--plain'], ['']],
      [
        ['--watch-docker', '/run/d', '--watch-docker=/run/p'],
        ['/run/d', '/run/p'],
      ],
    ] as const) {
      const parsed = parseAgentArguments([...api, ...argv]);
      assert.ok(parsed.kind === 'run');
      assert.deepEqual(parsed.request.watchDocker, expected);
    }
  });

  it('watches the cluster of the kubeconfig at a known place, or of those that are named', () => {
    for (const [argv, expected] of [
      [[], []],
      [['--watch-kubernetes', '--watch-docker'], ['']],
      [
        ['--watch-kubernetes', '/k', '--watch-kubernetes=/l'],
        ['/k', '/l'],
      ],
    ] as const) {
      const parsed = parseAgentArguments(['--listen', 'unix:/a', ...argv]);
      assert.ok(parsed.kind === 'run');
      assert.deepEqual(parsed.request.watchKubernetes, expected);
    }
  });

  it('allows everything, and the default gateway as peer, by default', () => {
    const parsed = parseAgentArguments(['--listen', 'unix:/run/a']);
    assert.ok(parsed.kind === 'run');
    assert.deepEqual([parsed.request.allow, parsed.request.peers], [undefined, undefined]);
  });

  for (const [argv, problem] of [
    [[], /must name a link/],
    [['--listen', 'tcp:1'], /--listen tcp:1: must be tcp:IP:PORT/],
    [['--connect', 'x:1'], /--connect x:1: must be unix:PATH/],
    [['--listen', 'unix:/a', '--peer', 'x'], /--peer x: must be an IP address/],
    [['--listen', 'unix:/a', '--allow', 'x'], /--allow x: must be/],
    [['--listen', 'unix:/a', '--forward-to-host', 'x'], /must be LOCAL=REMOTE/],
    [
      ['--listen', 'unix:/a', '--forward-to-host', 'udp:127.0.0.1:1=unix:/b'],
      /must be LOCAL=REMOTE/,
    ],
    [['--listen', 'unix:/a', '--log-level', 'x'], /must be one of debug/],
    [['--listen', 'unix:/a', '--nonsense'], /nonsense/],
    [['stray'], /stray/],
  ] as const) {
    it(`refuses ${JSON.stringify(argv)}`, () => {
      const parsed = parseAgentArguments(argv);
      assert.ok(parsed.kind === 'bad');
      assert.match(parsed.problem, problem);
    });
  }

  it('has help and a version', () => {
    assert.equal(parseAgentArguments(['--help']).kind, 'help');
    assert.equal(parseAgentArguments(['-V']).kind, 'version');
    assert.match(AGENT_HELP, /--forward-to-host/);
  });
});
