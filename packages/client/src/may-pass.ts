const PASSING = new Set([
  'NO_ANSWER',
  'UNREACHABLE',
  'NO_DATABASE',
  'INTERNAL',
  'RATE_LIMITED',
  'TOO_MANY_BYTES',
  'TOO_MANY_CONNECTIONS',
  'TOO_MANY_SUBSCRIPTIONS',
  'TOO_MANY_WATCHES',
  'GONE',
])

/** Whether a refusal may pass by itself. Any other is permanent for the same request with the same rights. */
export const mayPass = (error: unknown): boolean => PASSING.has((error as { code?: string }).code ?? '')
