"""The words of the small world: everything that a document may name.

Names of people and places come from pools large enough that a document cannot be recited; which of
them meet in one document is left to chance.
"""

FIRST_NAMES = """
Ada Agnes Alan Albert Alice Amos Andrew Anna Arthur Astrid Aubrey Beatrice Ben Bertha Boris Brenda
Bruno Carl Carla Cecil Celia Clara Clive Cora Cyril Daisy Daniel David Dennis Diana Dora Doris
Edgar Edith Edwin Elaine Eleanor Elias Ella Elmer Elsa Emil Emma Erik Esther Ethel Eva Felix
Fiona Flora Frances Frank Freda George Gerald Gilbert Gina Gloria Gordon Grace Greta Gustav Harold
Harriet Hazel Hector Heidi Helen Henry Hilda Homer Howard Hugo Ida Ingrid Irene Iris Ivan Ivy
Jacob Janet Jasper Joan Joel Josef Judith Julian Karen Karl Kirsten Klara Lars Laura Leo Leonard
Lewis Lilian Linda Lionel Lorna Louisa Lucas Lydia Mabel Magnus Marcus Margot Marion Martha Martin
Maud Maurice Mavis Max Miles Mildred Miriam Mona Myra Nadia Nancy Nathan Nell Niels Nina Nora
Norman Olga Olive Oscar Otto Owen Paula Percy Petra Philip Phoebe Ralph Regina Rita Robert Roland
Rosa Rufus Rupert Ruth Sara Selma Sidney Sigrid Simon Sofia Stella Susan Sven Sylvia Tessa Theo
Thelma Thomas Tilda Tobias Una Ursula Vera Victor Viola Wanda Walter Wilfred Willa Winifred Yvonne
""".split()

SURNAMES = """
Abbott Acker Adler Aldous Ames Archer Ashby Atwood Bailey Baker Barlow Barnes Barrow Bates Beck
Bellamy Bishop Blake Boyd Bradley Brandt Brewer Briggs Brook Burke Burton Byrne Cage Caldwell
Carver Casey Chandler Clarke Cobb Cole Conrad Cooper Cotton Crane Cross Curtis Dalton Davies Dawson
Dixon Donovan Doyle Drake Dudley Duncan Eaton Egan Ellis Emery Ericson Evans Falk Farmer Fenton
Fischer Fletcher Flint Forbes Foster Fox Frost Fuller Gale Gardner Garrick Gibson Glover Graham
Grant Gray Greene Griffin Hale Hammond Hanson Harding Harper Hart Hayes Heath Hill Hobbs Holt Hooper
Horn Hudson Hughes Hunt Hurst Ingram Jarvis Jenkins Jensen Joyce Judd Keller Kemp Kent King Kirby
Knight Lambert Lane Larkin Larsen Lawson Lloyd Locke Lowe Lucas Mace Marsh Mason Mercer Miller
Mills Moody Morgan Morris Moss Murray Nash Newell Nolan Norris Oakley Olsen Osborn Page Palmer
Parker Payne Pearce Perry Pike Piper Porter Potter Powell Pratt Price Quinn Ramsey Rankin Reed Reeves
Rhodes Rivers Roach Rowe Rowley Russell Ryder Sadler Sander Savage Sawyer Sharp Shaw Shelby Skinner
Slater Sloan Snow Sparrow Spencer Stark Steele Stone Sutton Swift Talbot Tanner Thorne Tucker Turner
Tyler Vance Vaughn Vogel Wade Walsh Warner Watts Webb Weston Wheeler Whitman Wilde Winter Woods Wyatt
""".split()

PLACES = """
Alderton Amberley Appleby Ashcombe Avonmere Barnwick Beckford Birchley Blackmoor Bracken Bramford
Bridgend Brookvale Burnham Calder Canford Carrick Charlwood Clayton Cleeve Coldwell Copley Cranmore
Crosby Dalby Darnley Deepdale Denholm Dunmore Eastwick Edgeley Elmstead Elsworth Enfield Fairlea
Fallow Farleigh Fenwick Fernhill Foxton Garford Glenmore Goldcrest Grafton Granby Greywell Hadley
Halford Hamsey Harwood Hatherby Hawkley Hazelton Heathrow Henfield Highmoor Holbeck Hollins Hopton
Ivybridge Keld Kelso Kendal Kingsley Kirkby Langley Larkhill Lea Leyburn Linwood Longmead Lowick
Lydford Maldon Malton Mapleby Marlow Melbury Meriden Millbrook Milford Moorside Morley Netherby
Newbold Norwick Oakham Oldbury Orford Otley Overton Oxley Padstow Pendle Penrith Pinewood Pitlow
Quarley Ravenby Redmire Ridgeway Ripley Rookwood Roxby Rushmere Rydal Saltby Sandford Seaham Selby
Shelford Silverby Skelton Southam Stanmore Stapleton Stoke Stonely Swanley Tarrant Tetbury Thornbury
Tilford Torrington Upwell Walden Wansford Warley Waverley Wellow Westbrook Wexcombe Whitby Wickham
Winslow Witham Woodley Wrexby Yarrow Yelverton
""".split()

DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()

MONTHS = """January February March April May June July August September October November
December""".split()

STREETS = """Mill Lane|Station Road|Church Street|Harbour Road|Market Square|Bridge Street|School Lane
|Park Avenue|Canal Street|Castle Hill|Orchard Road|Abbey Walk|Garden Street|Quarry Road|Tower
Street|River Walk""".replace("\n", " ").split("|")
STREETS = [street.strip() for street in STREETS]

INCIDENTS = {
    "a kitchen fire": ["a pan left on the stove", "a faulty oven", "an overheated cable"],
    "a warehouse fire": ["sparks from welding", "a broken heater", "a discarded cigarette"],
    "a burst water pipe": ["frozen ground", "old age of the pipe", "careless digging"],
    "a gas leak": ["a cracked valve", "careless digging", "a loose joint"],
    "a power cut": ["a fallen branch", "a blown fuse box", "a swan that flew into a line"],
    "a landslip": ["three days of rain", "a blocked drain", "melting snow"],
    "a flooded cellar": ["a blocked drain", "a failed pump", "three days of rain"],
    "a lorry crash": ["black ice", "a burst tyre", "thick fog"],
    "a collapsed wall": ["strong wind", "rotten mortar", "a reversing van"],
    "a train delay": ["a cow on the line", "a broken signal", "a fallen branch"],
}

GROUPS = """parish council|school board|garden club|rowing club|library committee|village hall trust
|choir|farmers' union|history society|allotment society|harbour board|youth club""".replace(
    "\n", ""
).split("|")

PROJECTS = """a new roof|a boiler|two benches|a piano|a footbridge|new windows|a playground|a minibus
|a notice board|a sound system|a row of lime trees|a bicycle shed|a kitchen|a flagpole|a wheelchair
ramp|a set of drums|a rescue boat|a greenhouse""".replace("\n", " ").split("|")
PROJECTS = [project.strip() for project in PROJECTS]

WINDS = "north north-east east south-east south south-west west north-west".split()

SKIES = ["sunny", "cloudy", "overcast", "hazy", "bright", "foggy"]

WARNINGS = """ice on the roads|floods along the river|fallen trees|high waves at the quay|thick fog
on the hills|heat in the afternoon|drifting snow""".replace("\n", " ").split("|")

SPORTS = ["football", "hockey", "handball", "water polo"]

TEAMS = "Rovers United Rangers Wanderers Athletic Stars Harriers Albion".split()

GIFTS = """a clock|a scarf|a box of pears|a painting|a kettle|a jar of honey|a lamp|a walking stick
|a teapot|a camera|a quilt|a bird cage|a cookery book|a chess set|a pair of gloves|a telescope
|a fishing rod|a rocking chair""".replace("\n", "").split("|")

OCCASIONS = """wedding|birthday|christening|concert|house warming|harvest supper|retirement party
|exhibition""".replace("\n", "").split("|")
