import { storyOfAHouse } from "../story-of-a-house.ts";

// The rest, with the power and the disks touched, is in test/long.
storyOfAHouse("The story of a house, until a grandmother has joined", 9);
