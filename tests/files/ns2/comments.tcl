# nodes: 2, pause: 0.00
set god_ [God instance]
$node_(0) set X_ 10.0 ;# start
$node_(0) set Y_ 20.0 # north
$node_(0) set Z_ 1.5
$node_(1) set X_ 0.0
$node_(1) set Y_ 0.0
$ns_ at 5.0 "$node_(0) setdest 60.0 20.0 10.0" ;# to the east
$ns_ at 2.0 "$node_(1) setdest 0.0 30.0 1.5" # slowly
$ns_ at 3.0 "$god_ set-dist 0 1 1"
