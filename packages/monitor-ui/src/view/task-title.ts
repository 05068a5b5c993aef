/** Foreign text: draw it with `<Foreign>`. */
export { taskTitle } from '@taskfleet/react/internal'
