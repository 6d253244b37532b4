/** The variable of the environment by which the second start of the program finds what the first hands over. */
export const HAND_OVER_VARIABLE = 'HAWSER_SECOND_START';

export const isSecondStart = (env: NodeJS.ProcessEnv): boolean =>
  env[HAND_OVER_VARIABLE] !== undefined;
