/** Whether text for users has colours: https://no-color.org, https://force-color.org. */
export function wantsColour(
  env: Readonly<Record<string, string | undefined>>,
  isTerminal: boolean,
): boolean {
  const { NO_COLOR: no = '', FORCE_COLOR: force = '' } = env;
  if (no !== '') return false;
  return force === '' ? isTerminal : force !== '0' && force !== 'false';
}
