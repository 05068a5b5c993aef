/** Variables with the address of the database, or with keys and secrets of the fleet. */
const OURS =
  /^TASKFLEET_(MONGO_URI|KEY|KEY_FILE|CONFIG|WEBHOOK_SECRET|ATTENTION_WEBHOOK|SIGNING_KEY|TRUSTED_KEYS|SECRETS?(_.*)?)$|MONGO/i

/**
 * The variables that a handler in an isolate gets: those of its worker, without those that give access to the fleet.
 *
 * @param address the database's, which may have been given by a variable of any name
 */
export function handlerEnv(address: string | undefined, env: NodeJS.ProcessEnv = process.env): NodeJS.ProcessEnv {
  const kept = Object.entries(env).filter(([name, value]) => !OURS.test(name) && (!value || value !== address))
  return Object.fromEntries(kept)
}
