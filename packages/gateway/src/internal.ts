export { portInUse } from './port-in-use.ts'
export { gatewayRules } from './rules.ts'
