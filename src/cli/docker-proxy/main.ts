#!/usr/bin/env node
/**
 * A proxy of its own, or with `--broker DIR PID` the one that serves many: `hawser-docker-proxy.sh`, which
 * dockerd starts, runs either.
 */
async function main([first, dir = '', dockerd = '']: readonly string[]): Promise<number> {
  if (first === '--broker') {
    const { runBroker } = await import('./broker.ts');
    return await runBroker(dir, Number(dockerd));
  }
  const { runDockerProxy } = await import('./run.ts');
  return await runDockerProxy(process.argv.slice(2));
}

void main(process.argv.slice(2)).then((status) => process.exit(status));
