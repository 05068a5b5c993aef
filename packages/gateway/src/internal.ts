export { portInUse } from './port-in-use.ts'
export type { RestRoute } from './rest/route.ts'
export { gatewayRules } from './rules.ts'
