/** The program: from a command line to running links, and its end. */
import { FaultWatch, reportFault } from '../../base/faults.ts';
import { LimitedLog } from '../../base/limited-log.ts';
import type { Log } from '../../base/log.ts';
import { NodeClock } from '../../transports/node-clock.ts';
import { closeEarlyDebugger } from '../early-debugger.ts';
import { END_SIGNALS } from '../early-signals.ts';
import { printOutput } from '../output.ts';
import { Agent } from './agent.ts';
import { AGENT_HELP, LEVELS, type Level, parseAgentArguments } from './arguments.ts';

export interface AgentProgram {
  version(): string;
  /** What a watched cluster of Kubernetes needs: a file of its own. */
  readonly clusterLibrary: URL;
}

/** @returns the exit status: 0 for a wanted end, 1 for a failure, 2 for bad usage */
export async function runAgent(argv: readonly string[], program: AgentProgram): Promise<number> {
  const parsed = parseAgentArguments(argv);
  if (parsed.kind === 'help') {
    printOutput(AGENT_HELP);
    return 0;
  }
  if (parsed.kind === 'version') {
    printOutput(`hawser-agent ${program.version()}\n`);
    return 0;
  }
  if (parsed.kind === 'bad') {
    process.stderr.write(`hawser-agent: ${parsed.problem}\n`);
    return 2;
  }
  const { request } = parsed;
  const clock = new NodeClock();
  const log = new LimitedLog(plainLog(request.level), clock);
  const faults = new FaultWatch(log);
  process.on('uncaughtException', (error) => reportFault('uncaught', error));
  const agent = new Agent(request, { clock, log, clusterLibrary: program.clusterLibrary });
  const end = new Promise<string>((resolve) => {
    for (const signal of END_SIGNALS) {
      process.on(signal, () => resolve(signal));
    }
  });
  process.on('SIGHUP', () => log.info({}, 'SIGHUP: there is nothing to read again'));
  const stay = setInterval(() => {}, 2 ** 30); // links alone do not keep the process alive
  try {
    await agent.start();
    const links = [...request.listen, ...request.connect].map(({ text }) => text);
    log.info({ links, pid: process.pid }, 'agent ready');
    closeEarlyDebugger(log);
    log.info({}, `agent ends: ${await end}`);
    return 0;
  } catch (error) {
    process.stderr.write(`hawser-agent: ${error instanceof Error ? error.message : error}\n`);
    return 1;
  } finally {
    clearInterval(stay);
    await agent.close();
    faults.close();
  }
}

/** Lines on stderr: `hawser-agent: info: multiplexer up link=unix:/run/a.sock peer=1`. */
function plainLog(level: Level): Log {
  const least = LEVELS.indexOf(level);
  const at =
    (name: Level) =>
    (fields: object, message: string): void => {
      if (LEVELS.indexOf(name) < least) return;
      const words = Object.entries(fields)
        .filter(([, value]) => value !== undefined && value !== '')
        .map(
          ([key, value]) =>
            ` ${key}=${value instanceof Error ? (value.stack ?? value.message) : String(value)}`,
        );
      process.stderr.write(`hawser-agent: ${name}: ${message}${words.join('')}\n`);
    };
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') };
}
