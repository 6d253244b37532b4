/** `base/log.ts` on pino: JSON lines for programs, pretty ones for terminals, `key=value` for those who know logrus. */
import { isatty } from 'node:tty';
import { pino } from 'pino';
import type { Log } from '../base/log.ts';
import { wantsColour } from './colour.ts';
import type { LogConfig, LogFormat } from './daemon-config.ts';
import { type LineSink, tellingLoss } from './line-sink.ts';

/** @param isTerminal whether people read along; decides the format when none was chosen */
export async function createLog(
  { level, format, file }: LogConfig,
  sink: LineSink,
  isTerminal: boolean = file === undefined && isatty(2),
): Promise<Log> {
  const destination = await sinkOf(format ?? (isTerminal ? 'pretty' : 'json'), sink, isTerminal);
  const log: Log = pino(
    {
      level,
      base: { pid: process.pid },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    tellingLoss(destination),
  );
  return log;
}

async function sinkOf(format: LogFormat, sink: LineSink, isTerminal: boolean): Promise<LineSink> {
  switch (format) {
    case 'json':
      return sink;
    case 'logfmt':
      return (await import('./logfmt-sink.ts')).logfmtSink(sink);
    case 'pretty':
      return await prettySink(sink, wantsColour(process.env, isTerminal));
  }
}

async function prettySink(sink: LineSink, colorize: boolean): Promise<LineSink> {
  const { prettyFactory } = await import('pino-pretty');
  const format = prettyFactory({ colorize, ignore: 'pid', translateTime: 'HH:MM:ss.l' });
  return { write: (line) => sink.write(format(line)) };
}
