/** The provider's version: what resources ask for and what the plugin answers. */
export const version = "0.1.0";
