$node_(0) set X_ 0.0
$node_(0) set Y_ 0.0
$ns at 1.0 $node_(0) setdest 30.0 40.0 5.0
