#!/usr/bin/env node
/**
 * A proxy of its own, or with `--broker DIR PID` the one that serves many: `hawser-docker-proxy.sh`, which
 * dockerd starts, runs either.
 */
const [, , first, dir = '', dockerd = ''] = process.argv;
if (first === '--broker') {
  const { runBroker } = await import('./broker.ts');
  await runBroker(dir, Number(dockerd));
}
const { runDockerProxy } = await import('./run.ts');
process.exit(await runDockerProxy(process.argv.slice(2)));
