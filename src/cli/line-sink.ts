/** Where lines of the log go. */
export interface LineSink {
  /**
   * @param line ends in a newline
   * @returns false when it was dropped, and is to be counted
   */
  write(line: string): boolean;
}

/** Tells in a line like the others how many the sink has dropped, ahead of the first that it takes again. */
export function tellingLoss(sink: LineSink): LineSink {
  let dropped = 0;
  return {
    write: (line) => {
      if (dropped > 0 && sink.write(lossLine(dropped))) dropped = 0;
      const isTaken = dropped === 0 && sink.write(line);
      if (!isTaken) dropped++;
      return isTaken;
    },
  };
}

function lossLine(lines: number): string {
  const fields = { level: 'warn', time: new Date().toISOString(), pid: process.pid, lines };
  return `${JSON.stringify({ ...fields, msg: 'lines of the log could not be written' })}\n`;
}
